package main

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/spf13/cobra"

	"devstack/cmd/devstack/render"
	"devstack/engine/api"
)

func newPortCmd(e *env) *cobra.Command {
	var (
		protocol string
		index    int
	)
	cmd := &cobra.Command{
		Use:   "port [OPTIONS] SERVICE [PRIVATE_PORT]",
		Short: "List port mappings or print the public port for a specific mapping for the service",
		Args:  minArgs(1, "SERVICE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return listPorts(cmd.Context(), e, args[0], index)
			}
			port, err := strconv.ParseUint(args[1], 10, 16)
			if err != nil {
				return fmt.Errorf("invalid port %q", args[1])
			}
			return runPort(cmd.Context(), e, args[0], index, api.Port{ContainerPort: uint16(port), Protocol: protocol})
		},
		ValidArgsFunction: e.firstServiceName,
	}
	cmd.Flags().StringVar(&protocol, "protocol", "tcp", "tcp or udp")
	cmd.Flags().IntVar(&index, "index", 0, "Index of the container if service has multiple replicas")
	return cmd
}

func runPort(ctx context.Context, e *env, service string, index int, want api.Port) error {
	c, err := e.portsOf(ctx, service, index)
	if err != nil {
		return err
	}
	for _, p := range c.Ports {
		if p.ContainerPort == want.ContainerPort && p.Protocol == want.Protocol && p.HostPort != 0 {
			fmt.Fprintln(e.stdout, net.JoinHostPort(p.HostIP, strconv.Itoa(int(p.HostPort))))
			return nil
		}
	}
	return fmt.Errorf("no port %d/%s for container %s", want.ContainerPort, want.Protocol, c.Name)
}

func listPorts(ctx context.Context, e *env, service string, index int) error {
	c, err := e.portsOf(ctx, service, index)
	if err != nil {
		return err
	}
	for _, p := range render.SortPorts(c.Ports) {
		fmt.Fprintf(e.stdout, "%d/%s -> %s\n", p.ContainerPort, p.Protocol, net.JoinHostPort(p.HostIP, strconv.Itoa(int(p.HostPort))))
	}
	return nil
}

// portsOf is the running container of a service whose ports are asked for.
func (e *env) portsOf(ctx context.Context, service string, index int) (api.Container, error) {
	_, name, err := e.loadOrName(ctx, service)
	if err != nil {
		return api.Container{}, err
	}
	containers, err := e.containers(ctx, api.PsRequest{Name: name, Services: []string{service}})
	if err != nil {
		return api.Container{}, err
	}
	for _, c := range containers {
		if index == 0 || c.Number == index {
			return c, nil
		}
	}
	return api.Container{}, fmt.Errorf("service %q is not running", service)
}
