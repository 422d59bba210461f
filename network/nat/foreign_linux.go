package nat

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
)

// admit makes sure that our bridges pass the other base chains at the forward
// hook that may drop. It says in notes where it could not.
func (t *Table) admit() (notes []string, err error) {
	chains, err := t.foreign()
	if err != nil {
		return nil, err
	}
	for _, c := range chains {
		rules, err := t.conn.GetRules(c.Table, c)
		if err != nil {
			return notes, fmt.Errorf("list rules of %s %s: %w", c.Table.Name, c.Name, err)
		}
		if !mayDrop(c, rules) || len(t.own(rules)) == 2 {
			continue
		}
		for _, r := range t.own(rules) {
			_ = t.conn.DelRule(r) // one of two: somebody edited; state both again
		}
		for _, m := range []match{in(t.bridges), out(t.bridges)} {
			t.conn.InsertRule(&nftables.Rule{Table: c.Table, Chain: c, Exprs: rule(m, accept()), UserData: t.comment()})
		}
		if err := t.conn.Flush(); err != nil {
			notes = append(notes, fmt.Sprintf("the firewall table %s may drop the containers' traffic and could not be changed: %v", c.Table.Name, err))
		}
	}
	return append(notes, t.legacy(true)...), nil
}

// withdraw takes admit back.
func (t *Table) withdraw() error {
	chains, err := t.foreign()
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range chains {
		rules, err := t.conn.GetRules(c.Table, c)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		own := t.own(rules)
		for _, r := range own {
			errs = append(errs, t.conn.DelRule(r))
		}
		if len(own) > 0 {
			errs = append(errs, t.conn.Flush())
		}
	}
	t.legacy(false)
	return errors.Join(errs...)
}

// foreign lists the base chains at the forward hook in tables of others.
func (t *Table) foreign() ([]*nftables.Chain, error) {
	all, err := t.conn.ListChains()
	if err != nil {
		return nil, fmt.Errorf("list chains: %w", err)
	}
	var out []*nftables.Chain
	for _, c := range all {
		if c.Hooknum == nil || *c.Hooknum != *nftables.ChainHookForward || strings.HasPrefix(c.Table.Name, "devstack-") {
			continue
		}
		switch c.Table.Family {
		case nftables.TableFamilyIPv4, nftables.TableFamilyIPv6, nftables.TableFamilyINet:
			out = append(out, c)
		}
	}
	return out, nil
}

// mayDrop looks at the policy and at the chain's own verdicts. A chain that only
// jumps elsewhere is believed to return.
func mayDrop(c *nftables.Chain, rules []*nftables.Rule) bool {
	if c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop {
		return true
	}
	for _, r := range rules {
		for _, e := range r.Exprs {
			switch e := e.(type) {
			case *expr.Reject:
				return true
			case *expr.Verdict:
				if e.Kind == expr.VerdictDrop {
					return true
				}
			}
		}
	}
	return false
}

func (t *Table) comment() []byte {
	return userdata.AppendString(nil, userdata.TypeComment, t.name)
}

func (t *Table) own(rules []*nftables.Rule) []*nftables.Rule {
	var out []*nftables.Rule
	for _, r := range rules {
		if text, ok := userdata.GetString(r.UserData, userdata.TypeComment); ok && text == t.name {
			out = append(out, r)
		}
	}
	return out
}

// legacy does the same to the legacy iptables, where its filter table is in
// use: the kernel has no netlink for it, so its own tool does it.
func (t *Table) legacy(want bool) (notes []string) {
	wildcard := strings.TrimSuffix(t.bridges, "*") + "+"
	for list, tool := range map[string]string{
		"/proc/net/ip_tables_names":  "iptables-legacy",
		"/proc/net/ip6_tables_names": "ip6tables-legacy",
	} {
		names, err := os.ReadFile(list)
		if err != nil || !strings.Contains(string(names), "filter\n") {
			continue
		}
		for _, side := range []string{"-i", "-o"} {
			args := []string{"FORWARD", side, wildcard, "-j", "ACCEPT"}
			run := func(verb string) error {
				return exec.Command(tool, append([]string{"-w", verb}, args...)...).Run()
			}
			there := run("-C")
			switch {
			case want && there != nil:
				if err := run("-I"); err != nil {
					notes = append(notes, fmt.Sprintf("%s may drop the containers' traffic and could not be changed: %v", tool, err))
				}
			case !want && there == nil:
				_ = run("-D")
			}
		}
	}
	return notes
}
