package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// bench is one run of all measurements.
type bench struct {
	options
	dir      string // a tmpfs
	report   *report
	progress io.Writer
	baseline time.Duration
}

// run is the role "run".
func run(o options, stdout, stderr io.Writer) error {
	dir := os.Getenv(workEnv)
	if dir == "" {
		return fmt.Errorf("this role is not for the command line")
	}
	keepOutside()
	path, err := filepath.Abs(o.devstack)
	if err != nil {
		return err
	}
	b := &bench{options: o, dir: dir, report: &report{}, progress: stderr}
	small, err := smallPrograms()
	if err != nil {
		return err
	}
	self, err := selfProgram()
	if err != nil {
		return err
	}
	times, err := measureBaseline(dir, small)
	if err != nil {
		return err
	}
	b.baseline = median(times)
	b.report.Baseline = spread(times)

	b.devstackRun(path, small, self)
	if o.peers {
		b.peersRun(small, self)
	}
	if o.json {
		return b.report.writeJSON(stdout)
	}
	return b.report.writeTable(stdout)
}

// devstackRun measures devstack. A case that fails is a line of the report
// and does not keep the others from being measured.
func (b *bench) devstackRun(path string, small []program, self program) {
	if _, err := os.Stat(path); err != nil {
		b.report.fail("devstack", "all", err)
		return
	}
	image, err := writeImage(filepath.Join(b.dir, "image"), "small", small)
	if err == nil {
		_, err = writeImage(filepath.Join(b.dir, "net-image"), "net", []program{self})
	}
	if err != nil {
		b.report.fail("devstack", "all", err)
		return
	}
	for name, value := range map[string]string{
		"DEVSTACK_DATA_ROOT": filepath.Join(b.dir, "data"),
		"DEVSTACK_RUN_ROOT":  filepath.Join(b.dir, "run"),
		"NO_COLOR":           "1",
	} {
		os.Setenv(name, value)
	}
	t := tool{name: devstack, argv: []string{path}, image: image, web: "oci:" + filepath.Join(b.dir, "net-image") + ":net"}
	defer t.run(b.dir, "engine", "stop")

	if err := b.warmUp(t); err != nil {
		b.report.fail(t.name, "all", err)
		return
	}
	for _, n := range b.sizes {
		b.coldUp(t, n)
	}
	b.coldBuild(t)
	b.memory(t)
	b.idleWatch(t)
	b.pulls(t)
	keep, err := writeProject(b.dir, "keep", flatProject(1, t.image))
	if err == nil {
		_, err = t.run(keep, "up", "-d") // the engine stays
	}
	if err != nil {
		b.report.fail(t.name, "warm engine", err)
		return
	}
	b.verbs(t)
	b.live(t)
	b.ports(t, t.web)
	if _, err := t.run(keep, "down"); err != nil {
		b.report.fail(t.name, "down", err)
	}
}

// warmUp brings one service up and down: the image is unpacked, caches are
// filled, and a tool that does not work shows it.
func (b *bench) warmUp(t tool) error {
	folder, err := writeProject(b.dir, "warmup", flatProject(1, t.image))
	if err != nil {
		return err
	}
	if _, err := t.run(folder, "up", "-d"); err != nil {
		return err
	}
	_, err = t.run(folder, "down")
	return err
}

// wanted says whether the case is to be measured, and announces it.
func (b *bench) wanted(t tool, name string) bool {
	if !strings.Contains(name, b.only) {
		return false
	}
	fmt.Fprintf(b.progress, "%s: %s\n", t.name, name)
	return true
}

// times is how often a command on n services is measured.
func (b *bench) times(n int) int {
	switch {
	case n >= 100:
		return max(3, b.runs/4)
	case n >= 20:
		return max(3, b.runs/2)
	}
	return b.runs
}
