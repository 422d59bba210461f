package main

import (
	"bytes"
	"errors"
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
	var plain, ours pullTimes
	var peak int64
	for range min(5, b.runs) {
		if err := pullPlain(filepath.Join(b.dir, "plain"), host, img, &plain); err != nil {
			return err
		}
		if _, err := t.run(folder, "engine", "stop"); err != nil {
			return err
		}
		took, err := t.run(folder, "pull", "-q")
		if err != nil {
			return err
		}
		e, err := observeEngine()
		if err != nil {
			return err
		}
		ours.wall, ours.cpu = append(ours.wall, took), append(ours.cpu, e.cpu)
		peak = max(peak, e.peak)
		if _, err := t.run(folder, "image", "rm", name); err != nil {
			return err
		}
	}
	p, o := median(plain.wall), median(ours.wall)
	b.report.value(t.name, bigPull, "of curl | tar xz", float64(o)/float64(p), 1.2,
		fmt.Sprintf("%.1f of %.1f s, %.1f of %.1f s of processor time, %d MB",
			o.Seconds(), p.Seconds(), median(ours.cpu).Seconds(), median(plain.cpu).Seconds(), img.size/1e6))
	b.report.value(t.name, bigPullMemory, "MiB", float64(peak)/(1<<20), 100, "the most at any time")
	return nil
}

// pullTimes are the times of several pulls.
type pullTimes struct{ wall, cpu []time.Duration }

// pullPlain is what a shell would do: no digest is checked and no blob kept.
func pullPlain(dir, host string, img *bigImage, times *pullTimes) error {
	defer os.RemoveAll(dir)
	var script strings.Builder
	script.WriteString("set -o pipefail\n")
	for i, l := range img.layers {
		into := filepath.Join(dir, strconv.Itoa(i))
		if err := os.MkdirAll(into, 0o755); err != nil {
			return err
		}
		fmt.Fprintf(&script, "curl -sf http://%s/v2/%s/blobs/%s | tar xz -C %s & all+=($!)\n", host, bigName, l.Digest, into)
	}
	script.WriteString("for one in ${all[@]}; do wait $one || exit; done\n")
	var out bytes.Buffer
	cmd := exec.Command("bash", "-c", script.String())
	cmd.Stderr = &out
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("curl | tar xz: %w: %s", err, lastLines(out.String()))
	}
	times.wall = append(times.wall, time.Since(began))
	times.cpu = append(times.cpu, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
	return nil
}

// engineUse is what an engine has taken since its start.
type engineUse struct {
	peak int64 // resident, in bytes
	cpu  time.Duration
}

func observeEngine() (engineUse, error) {
	procs, err := ownProcesses()
	if err != nil {
		return engineUse{}, err
	}
	for _, proc := range procs {
		if role(proc) == "engine" {
			return useOf(proc)
		}
	}
	return engineUse{}, errors.New("find the engine's process: none runs")
}

func useOf(proc string) (use engineUse, err error) {
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		return use, err
	}
	stat, err := os.ReadFile(filepath.Join(proc, "stat"))
	if err != nil {
		return use, err
	}
	_, peak, _ := strings.Cut(string(status), "\nVmHWM:")
	if _, err := fmt.Sscan(peak, &use.peak); err != nil {
		return use, fmt.Errorf("read %s: no VmHWM", proc)
	}
	use.peak <<= 10
	if use.cpu, err = processorTime(stat); err != nil {
		return use, fmt.Errorf("read %s/stat: %w", proc, err)
	}
	return use, nil
}

// processorTime is what a process has used, by its /proc/PID/stat, see proc(5).
func processorTime(stat []byte) (used time.Duration, err error) {
	const tick = 10 * time.Millisecond // the same on all machines
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest) // from the state on
	if len(fields) < 13 {
		return 0, errors.New("no times")
	}
	for _, field := range fields[11:13] { // utime, stime
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		used += time.Duration(ticks) * tick
	}
	return used, nil
}
