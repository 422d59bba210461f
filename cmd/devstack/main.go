package main

import (
	"os"
	"time"

	_ "devstack/engine/guard" // its door: this binary is the guard, too
)

func main() {
	cwd, _ := os.Getwd() // a verb that needs it says that it is gone
	exe, _ := os.Executable()
	os.Exit(run(&env{
		args:    os.Args[1:],
		environ: os.Environ(),
		stdin:   os.Stdin,
		stdout:  os.Stdout,
		stderr:  os.Stderr,
		cwd:     cwd,
		exe:     exe,
		uid:     os.Getuid(),
		now:     time.Now,
	}))
}
