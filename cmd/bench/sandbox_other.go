//go:build !linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"time"
)

const workEnv = "DEVSTACK_BENCH_DIR"

func sandbox(_ []string, stderr io.Writer) int {
	fmt.Fprintln(stderr, "bench: needs Linux")
	return 1
}

func keepOutside() {}

func apart(*exec.Cmd) {}

func interrupt(*exec.Cmd) {}

func dialOutside(context.Context, string, string) (net.Conn, error) {
	return nil, errors.ErrUnsupported
}

func initProcess(args []string, stderr io.Writer) int { return sandbox(args, stderr) }

func measureBaseline(string, []program) ([]time.Duration, error) { return nil, errors.ErrUnsupported }

func baselineProcess([]string, io.Writer) error { return errors.ErrUnsupported }
