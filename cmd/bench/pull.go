package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The names of what pulls measures.
const (
	bigPull       = "pull of 200 MB, 30,000 files"
	bigPullMemory = "memory of the engine during that pull"
)

// pulls measures how an image comes from a registry into an empty store,
// beside curl and tar for all of its layers at once: in turns, so that what
// else the machine does meets both.
func (b *bench) pulls(t tool) {
	if !b.wanted(t, bigPull) {
		return
	}
	if err := b.comparePulls(t); err != nil {
		b.report.fail(t.name, bigPull, err)
	}
}

func (b *bench) comparePulls(t tool) error {
	img, err := makeBigImage(filepath.Join(b.dir, "big"))
	if err != nil {
		return err
	}
	defer os.RemoveAll(img.dir)
	host, stop, err := img.serve()
	if err != nil {
		return err
	}
	defer stop()
	name := host + "/" + bigName + ":" + bigTag
	folder, err := writeProject(b.dir, "pulled", fmt.Sprintf("services:\n  app: {image: %q}\n", name))
	if err != nil {
		return err
	}
	var plain, ours []time.Duration
	var peak int64
	for range min(5, b.runs) {
		took, err := pullPlain(filepath.Join(b.dir, "plain"), host, img)
		if err != nil {
			return err
		}
		plain = append(plain, took)
		if _, err := t.run(folder, "engine", "stop"); err != nil {
			return err
		}
		if took, err = t.run(folder, "pull", "-q"); err != nil {
			return err
		}
		ours = append(ours, took)
		if bytes, err := engineMemory("VmHWM"); err != nil {
			return err
		} else if bytes > peak {
			peak = bytes
		}
		if _, err := t.run(folder, "image", "rm", name); err != nil {
			return err
		}
	}
	p, o := median(plain), median(ours)
	b.report.value(t.name, bigPull, "of curl | tar xz", float64(o)/float64(p), 1.2,
		fmt.Sprintf("%.1f of %.1f s, %d MB", o.Seconds(), p.Seconds(), img.size/1e6))
	b.report.value(t.name, bigPullMemory, "MiB", float64(peak)/(1<<20), 100, "most that was resident")
	return nil
}

// pullPlain is what a shell would do: no digest is checked and no blob kept.
func pullPlain(dir, host string, img *bigImage) (time.Duration, error) {
	defer os.RemoveAll(dir)
	var script strings.Builder
	script.WriteString("set -o pipefail\n")
	for i, l := range img.layers {
		into := filepath.Join(dir, strconv.Itoa(i))
		if err := os.MkdirAll(into, 0o755); err != nil {
			return 0, err
		}
		fmt.Fprintf(&script, "curl -sf http://%s/v2/%s/blobs/%s | tar xz -C %s & all+=($!)\n", host, bigName, l.Digest, into)
	}
	script.WriteString("for one in ${all[@]}; do wait $one || exit; done\n")
	began := time.Now()
	var out bytes.Buffer
	cmd := exec.Command("bash", "-c", script.String())
	cmd.Stderr = &out
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("curl | tar xz: %w: %s", err, lastLines(out.String()))
	}
	return time.Since(began), nil
}

// engineMemory reads a figure in kB of the engine's /proc/PID/status.
func engineMemory(field string) (int64, error) {
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		line, _ := os.ReadFile(name) // it may have ended
		if args := strings.Split(string(line), "\x00"); len(args) < 3 || args[1] != "engine" || args[2] != "serve" {
			continue
		}
		f, err := os.Open(filepath.Join(filepath.Dir(name), "status"))
		if err != nil {
			return 0, err
		}
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if rest, ok := strings.CutPrefix(lines.Text(), field+":"); ok {
				kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
				return kib << 10, err
			}
		}
	}
	return 0, fmt.Errorf("find the engine's %s: none runs", field)
}
