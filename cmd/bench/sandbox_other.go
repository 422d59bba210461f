//go:build !linux

package main

import (
	"errors"
	"fmt"
	"io"
	"time"
)

const workEnv = "DEVSTACK_BENCH_DIR"

func sandbox(_ []string, stderr io.Writer) int {
	fmt.Fprintln(stderr, "bench: needs Linux")
	return 1
}

func initProcess(args []string, stderr io.Writer) int { return sandbox(args, stderr) }

func measureBaseline(string, []program) ([]time.Duration, error) { return nil, errors.ErrUnsupported }

func baselineProcess([]string, io.Writer) error { return errors.ErrUnsupported }
