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
}

func peers() []peer {
	return []peer{
		{"docker compose", []string{"docker", "compose"}, []string{"docker"}},
		{"podman-compose", []string{"podman-compose"}, []string{"podman"}},
	}
}

// peersRun measures the same verbs through the peers that work here.
func (b *bench) peersRun(small []program) {
	for _, p := range peers() {
		t, err := b.preparePeer(p, small)
		if err != nil {
			b.report.fail(p.name, "all", err)
			continue
		}
		b.verbs(t)
	}
}

// preparePeer loads the image into the peer and tries it once.
func (b *bench) preparePeer(p peer, small []program) (tool, error) {
	t := tool{name: p.name, argv: p.argv, image: "devstack-bench:small"}
	if _, err := exec.LookPath(p.argv[0]); err != nil {
		return t, fmt.Errorf("not installed")
	}
	if exec.Command(p.argv[0], append(p.argv[1:], "version")...).Run() != nil {
		return t, fmt.Errorf("not installed") // docker without its plugin
	}
	archive := filepath.Join(b.dir, "small.tar")
	if err := writeArchive(archive, t.image, small); err != nil {
		return t, err
	}
	load := append(append([]string{}, p.engine...), "load", "-i", archive)
	if out, err := exec.Command(load[0], load[1:]...).CombinedOutput(); err != nil {
		return t, fmt.Errorf("not usable: %s: %s", strings.Join(load, " "), lastLines(string(out)))
	}
	if err := b.warmUp(t); err != nil {
		return t, fmt.Errorf("not usable: %w", err)
	}
	return t, nil
}
