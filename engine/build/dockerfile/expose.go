package dockerfile

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
)

func (e *stageEval) expose(c *instructions.ExposeCommand, lint *linter.Linter) error {
	var ports []string
	for _, word := range c.Ports {
		words, err := e.lex().ProcessWords(word, e.env)
		if err != nil {
			return err
		}
		for _, w := range words {
			expanded, err := exposed(w, func(rule linter.LinterRuleI, msg string) { lint.Run(rule, c.Location(), msg) })
			if err != nil {
				return err
			}
			ports = append(ports, expanded...)
		}
	}
	if e.Image.Config.ExposedPorts == nil {
		e.Image.Config.ExposedPorts = map[string]struct{}{}
	}
	for _, p := range ports {
		e.Image.Config.ExposedPorts[p] = struct{}{}
	}
	e.history(false, "EXPOSE %v", ports)
	return nil
}

// exposed turns [[ip:]port:]port[-port][/proto] into "port/proto". Host parts
// are of no use, and taken as Docker takes them.
func exposed(text string, lint func(linter.LinterRuleI, string)) ([]string, error) {
	rest, proto, hasProto := strings.Cut(text, "/")
	if !hasProto || proto == "" {
		proto = "tcp"
	}
	if proto != strings.ToLower(proto) {
		lint(&linter.RuleExposeProtoCasing, linter.RuleExposeProtoCasing.Format(text))
		proto = strings.ToLower(proto)
	}
	if proto != "tcp" && proto != "udp" && proto != "sctp" {
		return nil, fmt.Errorf("invalid port: %q: invalid proto: %s", text, proto)
	}
	port := rest
	if i := strings.LastIndexByte(rest, ':'); i >= 0 {
		lint(&linter.RuleExposeInvalidFormat, linter.RuleExposeInvalidFormat.Format(text))
		port = rest[i+1:]
		if err := checkHostPart(rest[:i]); err != nil {
			return nil, err
		}
	}
	first, last, err := portRange(port)
	if err != nil {
		return nil, fmt.Errorf("invalid containerPort: %q: %w", port, err)
	}
	var out []string
	for n := first; n <= last; n++ {
		out = append(out, strconv.Itoa(n)+"/"+proto)
	}
	return out, nil
}

func checkHostPart(host string) error {
	ip, port := "", host
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		ip, port = host[:i], host[i+1:]
	}
	if ip = strings.Trim(ip, "[]"); ip != "" {
		if _, err := netip.ParseAddr(ip); err != nil {
			return fmt.Errorf("invalid IP address: %s", ip)
		}
	}
	if port == "" {
		return nil
	}
	if _, _, err := portRange(port); err != nil {
		return fmt.Errorf("invalid hostPort: %s", port)
	}
	return nil
}

func portRange(text string) (first, last int, err error) {
	from, to, isRange := strings.Cut(text, "-")
	if first, err = portNumber(from); err != nil || !isRange {
		return first, first, err
	}
	if last, err = portNumber(to); err == nil && last < first {
		err = errors.New("the range ends before it begins")
	}
	return first, last, err
}

func portNumber(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, errors.New("a port is a number from 0 to 65535")
	}
	return int(n), nil
}
