package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"devstack/network/netns"
)

// Sweep removes what belongs to this engine's tag and to nobody: sandboxes and
// networks that are not kept, their records, interfaces without an owner, and
// the rules when no network is left.
func (s *Stack) Sweep(ctx context.Context, keepNetwork func(name string) bool, keepSandbox func(id string) bool) error {
	var errs []error
	ids, err := netns.List(filepath.Join(s.cfg.RunRoot, "netns"))
	errs = append(errs, err)
	records, err := netns.List(filepath.Join(s.cfg.RunRoot, "sandboxes"))
	errs = append(errs, err)
	for _, r := range records {
		if id, ok := strings.CutSuffix(r, ".json"); ok {
			ids = append(ids, id)
		} else if strings.HasSuffix(r, ".tmp") { // its engine died just before the rename
			errs = append(errs, os.Remove(filepath.Join(s.cfg.RunRoot, "sandboxes", r)))
		}
	}
	for _, id := range ids {
		if !keepSandbox(id) {
			errs = append(errs, s.RemoveSandbox(ctx, id))
		}
	}
	for _, n := range s.List() {
		if keepNetwork(n.Name) {
			continue
		}
		if err := s.Remove(ctx, n.Name); err != nil && !errors.Is(err, ErrNoNetwork) && !errors.Is(err, ErrInUse) {
			errs = append(errs, err)
		}
	}
	errs = append(errs, s.sweepLinks(), s.ports.Sweep(), s.sweepKept())
	if len(s.List()) == 0 {
		errs = append(errs, s.nat.Remove())
	}
	return errors.Join(errs...)
}

// sweepLinks deletes interfaces that carry our names and belong to no network
// and no sandbox that is known.
func (s *Stack) sweepLinks() error {
	links, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	owned := map[string]bool{}
	s.mu.Lock()
	for _, n := range s.nets {
		owned[n.Bridge] = true
	}
	for _, b := range s.sandboxes {
		for _, e := range b.endpoints {
			owned[e.Host] = true
		}
	}
	s.mu.Unlock()
	records, _ := netns.List(filepath.Join(s.cfg.RunRoot, "sandboxes"))
	for _, r := range records { // kept, and not opened yet
		var rec sandboxRecord
		if readRecord(filepath.Join(s.cfg.RunRoot, "sandboxes", r), &rec) {
			for _, e := range rec.Endpoints {
				owned[e.Host] = true
			}
		}
	}
	var stray []string
	for _, l := range links {
		ours := strings.HasPrefix(l.Name, bridgePrefix(s.cfg.Tag)) || strings.HasPrefix(l.Name, vethPrefix(s.cfg.Tag))
		if ours && !owned[l.Name] {
			stray = append(stray, l.Name)
		}
	}
	return s.reaper.Delete(stray...)
}
