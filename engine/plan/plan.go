package plan

import (
	"fmt"
	"slices"
	"strings"
)

// Kind is what an operation does.
type Kind string

// The kinds of operations.
const (
	CreateNetwork   Kind = "create network"
	RemoveNetwork   Kind = "remove network"
	CreateVolume    Kind = "create volume"
	RemoveVolume    Kind = "remove volume"
	CreateContainer Kind = "create"
	Recreate        Kind = "recreate" // a new generation takes the old one's name, number and addresses
	Start           Kind = "start"
	Restart         Kind = "restart"
	Stop            Kind = "stop"
	Remove          Kind = "remove" // stops first
	Keep            Kind = "keep"   // runs and is as declared
)

// Op is one operation on one object.
type Op struct {
	Kind    Kind
	Object  string // the real name of the network, volume or container
	Key     string // networks and volumes: the key in the project file
	Service string
	Number  int
	ID      string // of the container that is there now; empty for a new one
	Cause   string
	After   []int // indices of operations that must have succeeded before
}

// Plan is the ordered operations from what is to what is declared. Every
// index in After is smaller than the operation's own.
type Plan struct {
	Ops []Op
}

// Changes reports whether the plan does anything.
func (p *Plan) Changes() bool {
	for _, op := range p.Ops {
		if op.Kind != Keep {
			return true
		}
	}
	return false
}

// Count is how many operations are of kind k.
func (p *Plan) Count(k Kind) int {
	n := 0
	for _, op := range p.Ops {
		if op.Kind == k {
			n++
		}
	}
	return n
}

func (p *Plan) add(op Op) int {
	p.Ops = append(p.Ops, op)
	return len(p.Ops) - 1
}

// String prints one operation a line, in an order in which they may run:
//
//	create network  shop_default   declared
//	create          shop-db-1      new
//	start           shop-web-1     after shop-db-1 is healthy
func (p *Plan) String() string {
	if !p.Changes() {
		return "nothing to change\n"
	}
	width := 0
	for _, op := range p.Ops {
		if op.Kind != Keep {
			width = max(width, len(op.Object))
		}
	}
	var b strings.Builder
	for _, op := range p.Ops {
		if op.Kind == Keep {
			continue
		}
		fmt.Fprintf(&b, "%s\n", strings.TrimRight(fmt.Sprintf("%-14s  %-*s  %s", op.Kind, width, op.Object, op.Cause), " "))
	}
	return b.String()
}

// Services are the services that the plan touches, in its order.
func (p *Plan) Services() []string {
	var out []string
	for _, op := range p.Ops {
		if op.Service != "" && !slices.Contains(out, op.Service) {
			out = append(out, op.Service)
		}
	}
	return out
}

// Without is the plan less the operations on service's containers; what came
// after them no longer waits for them.
func (p *Plan) Without(service string) *Plan {
	out := &Plan{}
	at := map[int]int{}
	for i, op := range p.Ops {
		if op.Service == service {
			continue
		}
		var after []int
		for _, a := range op.After {
			if n, ok := at[a]; ok {
				after = append(after, n)
			}
		}
		op.After = after
		at[i] = out.add(op)
	}
	return out
}
