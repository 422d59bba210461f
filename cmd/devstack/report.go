package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"devstack/compose"
	"devstack/compose/load"
	"devstack/engine/api"
)

// Exit codes beside a command's own.
const (
	exitGeneral     = 1
	exitInterrupted = 130
)

// exitError ends the program with a code; err is nil where nothing is left to
// say.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// exitWith makes the error of a command that ended with code; 0 is no error.
func exitWith(code int) error {
	if code == 0 {
		return nil
	}
	return &exitError{code: code}
}

// report shows err to the user and gives the exit code.
func (e *env) report(ctx context.Context, err error) int {
	code, exit := exitGeneral, (*exitError)(nil)
	switch {
	case errors.As(err, &exit):
		code, err = exit.code, exit.err
	case errors.Is(context.Cause(ctx), errInterrupted):
		return exitInterrupted
	case err == nil:
		return 0
	}
	if fault := (*api.Error)(nil); errors.As(err, &fault) && fault.Code != 0 {
		code = fault.Code
	}
	if err != nil {
		e.explain(err)
	}
	return code
}

// explain prints an error: as JSON with --progress json and --format json,
// else with its place in the project file where it has one.
func (e *env) explain(err error) {
	if !e.machineReads() {
		io.WriteString(e.stderr, e.text(err)+"\n")
		return
	}
	e.writeJSON(struct {
		Error   bool    `json:"error"`
		Message string  `json:"message"`
		Faults  []fault `json:"faults,omitempty"`
	}{true, e.text(err), e.faults(err)})
}

// remark prints findings that are no errors, in the same two ways.
func (e *env) remark(found []load.Diagnostic) {
	switch {
	case e.flags.progress == "quiet" || len(found) == 0:
	case !e.machineReads():
		load.Render(e.stderr, found, bool(e.style(e.stderr)))
	default:
		for _, d := range found {
			e.writeJSON(faultOf(d))
		}
	}
}

// machineReads says that what is said besides results is JSON.
func (e *env) machineReads() bool { return e.flags.progress == "json" || e.flags.jsonOutput }

func (e *env) writeJSON(v any) {
	b, _ := json.Marshal(v) // plain fields: it always encodes
	fmt.Fprintf(e.stderr, "%s\n", b)
}

// fault is one finding about the project, as JSON.
type fault struct {
	Level   string `json:"level,omitempty"`
	Message string `json:"message"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Hint    string `json:"hint,omitempty"`
	Service string `json:"service,omitempty"`
}

func faultOf(d load.Diagnostic) fault {
	return fault{Level: d.Severity.String(), Message: d.Message, File: d.Pos.File, Line: d.Pos.Line, Column: d.Pos.Col, Hint: d.Hint}
}

// faults are the single findings of an error that has some.
func (e *env) faults(err error) (out []fault) {
	if found := (*load.Error)(nil); errors.As(err, &found) {
		for _, d := range found.Diagnostics {
			out = append(out, faultOf(d))
		}
		return out
	}
	one := (*api.Error)(nil)
	if !errors.As(err, &one) {
		return nil
	}
	for _, f := range append([]api.Error{*one}, one.Others...) {
		found := fault{Level: load.SeverityError.String(), Message: f.Message, Hint: f.Hint}
		if d, ok := e.place(&f); ok {
			found = faultOf(d)
			found.Message = f.Message
		}
		found.Service = f.Service
		out = append(out, found)
	}
	return out
}

func (e *env) text(err error) string {
	var b bytes.Buffer
	color := bool(e.style(e.stderr)) && !e.machineReads()
	if faults := (*load.Error)(nil); errors.As(err, &faults) {
		load.Render(&b, faults.Diagnostics, color)
		return strings.TrimRight(b.String(), "\n")
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range joined.Unwrap() {
			fmt.Fprintln(&b, e.text(err))
		}
		return strings.TrimRight(b.String(), "\n")
	}
	fault := (*api.Error)(nil)
	if !errors.As(err, &fault) {
		return err.Error()
	}
	e.writeFault(&b, fault, color)
	for i := range fault.Others {
		e.writeFault(&b, &fault.Others[i], color)
	}
	return strings.TrimRight(b.String(), "\n")
}

func (e *env) writeFault(b *bytes.Buffer, fault *api.Error, color bool) {
	if d, ok := e.place(fault); ok {
		load.Render(b, []load.Diagnostic{d}, color)
	} else {
		fmt.Fprintln(b, fault.Error())
		if fault.Hint != "" {
			fmt.Fprintln(b, "hint: "+fault.Hint)
		}
	}
	for _, line := range fault.Detail {
		fmt.Fprintln(b, "  "+line)
	}
}

// place finds where the project file says what the engine could not do.
func (e *env) place(fault *api.Error) (load.Diagnostic, bool) {
	if fault.Path == "" || e.project == nil {
		return load.Diagnostic{}, false
	}
	pos := e.project.Pos(fault.Path)
	if !pos.IsValid() {
		return load.Diagnostic{}, false
	}
	return load.Diagnostic{
		Pos: pos, Severity: load.SeverityError, Message: fault.Error(), Hint: fault.Hint,
		Line: sourceLine(pos), Width: 1,
	}, true
}

// sourceLine reads the line at pos, "" where the file is gone.
func sourceLine(pos compose.Pos) string {
	data, err := os.ReadFile(pos.File)
	if err != nil {
		return ""
	}
	lines := strings.Split(string(data), "\n")
	if pos.Line > len(lines) {
		return ""
	}
	return strings.TrimRight(lines[pos.Line-1], "\r")
}
