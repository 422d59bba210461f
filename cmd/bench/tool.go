package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// commandLimit ends a command that hangs.
const commandLimit = 2 * time.Minute

// tool is a program with the verbs of Compose: devstack or a peer.
type tool struct {
	name  string
	argv  []string // what comes before the verb
	image string   // its reference of the small image
	web   string   // and of the one with bench in it

	outside bool // its ports are published where bench was started
}

// breath is the pause before each command. A process that is pid 1 and has
// just been started does not hear SIGTERM yet.
const breath = 100 * time.Millisecond

// run carries out a verb on the project in folder and gives the wall-clock
// time of the whole command.
func (t tool) run(folder string, verb ...string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	cmd := t.command(ctx, folder, verb...)
	// A process left behind must not keep the pipe and with it this command.
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	time.Sleep(breath)
	began := time.Now()
	err := cmd.Run()
	took := time.Since(began)
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return took, fmt.Errorf("%s hangs: %s", strings.Join(cmd.Args, " "), lastLines(out.String()))
	case err != nil:
		return took, fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, lastLines(out.String()))
	}
	return took, nil
}

// command is a verb on the project in folder.
func (t tool) command(ctx context.Context, folder string, verb ...string) *exec.Cmd {
	argv := slices.Concat(t.argv, verb)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = folder
	return cmd
}

func lastLines(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], " / ")
}
