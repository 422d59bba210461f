package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"devstack/engine/api"
	"devstack/engine/api/client"
)

func newRmCmd(e *env) *cobra.Command {
	var force, stop, volumes bool
	cmd := &cobra.Command{
		Use:   "rm [OPTIONS] [SERVICE...]",
		Short: "Removes stopped service containers",
		Long: "Removes stopped service containers\n\n" +
			"By default, anonymous volumes attached to containers will not be removed. You can override this with -v.\n\n" +
			"Any data which is not in a volume will be lost.",
		RunE: func(cmd *cobra.Command, services []string) error {
			return runRm(cmd.Context(), e, api.ServiceRequest{Services: services, Stop: stop, Volumes: volumes}, force)
		},
		ValidArgsFunction: e.serviceNames,
	}
	f := cmd.Flags()
	f.BoolVarP(&force, "force", "f", false, "Don't ask to confirm removal")
	f.BoolVarP(&stop, "stop", "s", false, "Stop the containers, if required, before removing")
	f.BoolVarP(&volumes, "volumes", "v", false, "Remove any anonymous volumes attached to containers")
	f.BoolP("all", "a", false, "")
	_ = f.MarkHidden("all") // it was just made; Compose once had it
	return cmd
}

func runRm(ctx context.Context, e *env, req api.ServiceRequest, force bool) error {
	p, name, err := e.loadOrName(ctx, req.Services...)
	if err != nil {
		return err
	}
	req.Project, req.Name = p, name
	c, err := e.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	going, err := removable(ctx, c, req)
	if err != nil {
		return err
	}
	if len(going) == 0 {
		fmt.Fprintln(e.stderr, "No stopped containers")
		return nil
	}
	if e.flags.dryRun {
		for i, name := range going {
			going[i] = "Container " + name
		}
		return e.pretend("rm", going, "Removing", "Removed")
	}
	question := "Going to remove " + strings.Join(going, ", ")
	if force {
		fmt.Fprintln(e.stdout, question)
	} else if !e.confirm(question) {
		return nil
	}
	return e.progress("rm", func(emit func(api.Message)) error { return c.Remove(ctx, req, emit) })
}

// removable names the containers that rm would remove.
func removable(ctx context.Context, c *client.Client, req api.ServiceRequest) (names []string, err error) {
	containers, err := c.Ps(ctx, api.PsRequest{Name: req.Name, Services: req.Services, All: true})
	for _, k := range containers {
		if req.Project != nil && len(req.Services) == 0 {
			if _, ok := req.Project.Services[k.Service]; !ok {
				continue // of an inactive profile, or an orphan: the engine leaves it
			}
		}
		if (req.Stop || !alive(k.State)) && !k.OneOff {
			names = append(names, k.Name)
		}
	}
	return names, err
}

// readLine reads up to the end of a line and no byte more: another question
// may follow.
func readLine(r io.Reader) string {
	var line []byte
	for b := make([]byte, 1); ; {
		n, err := r.Read(b)
		if n == 1 && b[0] != '\n' {
			line = append(line, b[0])
		}
		if err != nil || n == 1 && b[0] == '\n' {
			return string(line)
		}
	}
}

// confirm asks a yes-or-no question; nothing typed means no. Whoever pipes the
// answer in is only told what it is about.
func (e *env) confirm(question string) bool {
	if isTerminal(e.stdin) {
		question = "? " + question + "? [yN] "
	} else {
		question += "\n"
	}
	fmt.Fprint(e.stdout, question)
	answer := strings.ToLower(strings.TrimSpace(readLine(e.stdin))) // end of input means no
	return answer == "y" || answer == "yes"
}
