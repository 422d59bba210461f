package main

import (
	"io"

	"golang.org/x/term"

	"devstack/cmd/devstack/render"
	"devstack/engine/api"
)

// descriptor is a file as far as terminals are concerned.
type descriptor interface{ Fd() uintptr }

// fdOf is the descriptor behind a stream that another one wraps; one that is
// never open where there is none.
func fdOf(stream any) uintptr {
	if f, ok := stream.(descriptor); ok {
		return f.Fd()
	}
	return ^uintptr(0)
}

// isTerminal reports whether a standard stream is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(descriptor)
	return ok && term.IsTerminal(int(f.Fd()))
}

// terminalSize is the size of the terminal behind a stream, 80x24 where there
// is none.
func terminalSize(stream any) (cols, rows int) {
	if f, ok := stream.(descriptor); ok {
		if cols, rows, err := term.GetSize(int(f.Fd())); err == nil && cols > 0 && rows > 0 {
			return cols, rows
		}
	}
	return 80, 24
}

// tables is standard output, where tables are made as wide as a terminal is.
func (e *env) tables() io.Writer {
	if !isTerminal(e.stdout) {
		return e.stdout
	}
	cols, _ := terminalSize(e.stdout)
	return render.Fit(e.stdout, cols)
}

func ttySize(stream io.Writer) api.TTYSize {
	cols, rows := terminalSize(stream)
	return api.TTYSize{Rows: uint16(rows), Cols: uint16(cols)}
}

// rawMode gives every key to the other side; restore brings the terminal back
// and must run however the verb ends.
func rawMode(stream io.Reader) (restore func(), err error) {
	f, ok := stream.(descriptor)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func() {}, nil
	}
	old, err := term.MakeRaw(int(f.Fd()))
	if err != nil {
		return func() {}, err
	}
	return func() { _ = term.Restore(int(f.Fd()), old) }, nil
}
