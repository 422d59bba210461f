package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// options is what the command line asks for.
type options struct {
	devstack string // path of the binary
	sizes    []int  // numbers of services
	runs     int    // of each short command
	json     bool
	only     string
	peers    bool
}

func main() {
	os.Exit(start(os.Args[1:], os.Stdout, os.Stderr))
}

// start dispatches the roles that doc.go draws.
func start(args []string, stdout, stderr io.Writer) int {
	role := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		role, args = args[0], args[1:]
	}
	var err error
	switch role {
	case "":
		_, err = parse(args, stderr)
		if err == nil {
			return sandbox(append([]string{"init"}, args...), stderr)
		}
	case "init":
		return initProcess(append([]string{"run"}, args...), stderr)
	case "run":
		var o options
		if o, err = parse(args, stderr); err == nil {
			err = run(o, stdout, stderr)
		}
	case "baseline":
		err = baselineProcess(args, stdout)
	case "serve":
		err = serve(args)
	case "web":
		err = web(args)
	default:
		err = fmt.Errorf("unknown role %q", role)
	}
	if err == flag.ErrHelp {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	return 0
}

func parse(args []string, stderr io.Writer) (options, error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var o options
	flags.StringVar(&o.devstack, "devstack", "bin/devstack", "path of the `binary` to measure")
	sizes := flags.String("sizes", "1,5,20,100", "`numbers` of services for up and down")
	flags.IntVar(&o.runs, "runs", 15, "how often each short command is `measured`")
	flags.BoolVar(&o.json, "json", false, "print JSON instead of a table")
	flags.StringVar(&o.only, "only", "", "measure only what has this `text` in its name")
	flags.BoolVar(&o.peers, "peers", true, "measure docker compose and podman-compose where they work")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	for field := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(field)
		if err != nil || n < 1 || n > 200 {
			return options{}, fmt.Errorf("sizes: %q is not a number from 1 to 200", field)
		}
		o.sizes = append(o.sizes, n)
	}
	if o.runs < 1 || flags.NArg() > 0 {
		return options{}, fmt.Errorf("usage: bench [-devstack FILE] [-sizes 1,20] [-runs N] [-only TEXT] [-json]")
	}
	return o, nil
}
