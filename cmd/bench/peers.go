package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// peer is another program with Compose's verbs.
type peer struct {
	name   string
	argv   []string
	engine []string // its program for images: "load -i FILE"

	watches bool
}

func peers() []peer {
	return []peer{
		{"docker compose", []string{"docker", "compose"}, []string{"docker"}, true},
		{"podman-compose", []string{"podman-compose"}, []string{"podman"}, false},
	}
}

// peersRun measures the same verbs through the peers that work here.
func (b *bench) peersRun(small []program, self program) {
	for _, p := range peers() {
		t, err := b.preparePeer(p, small, self)
		if err != nil {
			b.report.fail(p.name, "all", err)
			continue
		}
		b.verbs(t)
		if p.watches {
			b.live(t)
		}
	}
}

// preparePeer loads the image into the peer and tries it once.
func (b *bench) preparePeer(p peer, small []program, self program) (tool, error) {
	t := tool{name: p.name, argv: p.argv, image: "devstack-bench:small", web: "devstack-bench:web", outside: true}
	if _, err := exec.LookPath(p.argv[0]); err != nil {
		return t, fmt.Errorf("not installed")
	}
	if exec.Command(p.argv[0], append(p.argv[1:], "version")...).Run() != nil {
		return t, fmt.Errorf("not installed") // docker without its plugin
	}
	for name, programs := range map[string][]program{t.image: small, t.web: {self}} {
		archive := filepath.Join(b.dir, "peer.tar")
		if err := writeArchive(archive, name, programs); err != nil {
			return t, err
		}
		load := append(append([]string{}, p.engine...), "load", "-i", archive)
		if out, err := exec.Command(load[0], load[1:]...).CombinedOutput(); err != nil {
			return t, fmt.Errorf("not usable: %s: %s", strings.Join(load, " "), lastLines(string(out)))
		}
	}
	if err := b.warmUp(t); err != nil {
		return t, fmt.Errorf("not usable: %w", err)
	}
	return t, nil
}
