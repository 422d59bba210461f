package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// watchedFiles is how many files the idle watch has, in a twentieth as many
// directories.
const watchedFiles = 50_000

// idleWatch measures what watching many files costs while none changes.
func (b *bench) idleWatch(t tool) {
	name := fmt.Sprintf("watching %d files", watchedFiles)
	if !b.wanted(t, name) {
		return
	}
	if err := b.idleWatchCase(t, name); err != nil {
		b.report.fail(t.name, name, err)
	}
}

func (b *bench) idleWatchCase(t tool, name string) error {
	folder, err := writeWatched(b.dir, t.image)
	if err == nil {
		_, err = t.run(folder, "engine", "stop")
	}
	if err == nil {
		_, err = t.run(folder, "up", "-d")
	}
	if err != nil {
		return err
	}
	defer t.run(folder, "down")
	time.Sleep(settle)
	before, _, err := ownMemory()
	if err != nil {
		return err
	}
	took, err := t.run(folder, "up", "-d", "--watch") // back when it watches
	if err != nil {
		return err
	}
	used, err := atRest() // the container has its files
	if err != nil {
		return err
	}
	after, _, err := ownMemory()
	if err != nil {
		return err
	}
	time.Sleep(settle)
	later, err := ownProcessor()
	if err != nil {
		return err
	}
	b.report.value(t.name, name+", start", "ms", ms(took), 1000, "")
	b.report.value(t.name, name+", memory", "MiB", float64(after-before)/(1<<20), 20, "")
	b.report.none(t.name, name+", processor time in ms of "+settle.String(), int((later - used).Milliseconds()), true, "")
	return nil
}

// writeWatched makes a project that watches many files.
func writeWatched(dir, image string) (string, error) {
	folder, err := writeProject(dir, "watched", fmt.Sprintf(
		"services:\n  app:\n    image: %q\n    command: [%s]\n    develop: {watch: [{path: ./tree, target: /tree, action: sync}]}\n", image, idlePath))
	if err != nil {
		return "", err
	}
	for i := range watchedFiles {
		sub := filepath.Join(folder, "tree", strconv.Itoa(i/1000), strconv.Itoa(i/20))
		if i%20 == 0 {
			if err := os.MkdirAll(sub, 0o755); err != nil {
				return "", err
			}
		}
		if err := os.WriteFile(filepath.Join(sub, strconv.Itoa(i)), []byte("x\n"), 0o644); err != nil {
			return "", err
		}
	}
	return folder, nil
}

// atRest waits until nothing of ours has used the processor for a while, which
// on a busy machine takes its time, and gives what was used until then.
func atRest() (time.Duration, error) {
	last := time.Duration(-1)
	for range 30 {
		used, err := ownProcessor()
		if err != nil || used == last {
			return used, err
		}
		last = used
		time.Sleep(settle)
	}
	return last, nil
}

// ownProcessor sums the processor time of the processes of ownMemory.
func ownProcessor() (total time.Duration, err error) {
	procs, err := ownProcesses()
	for _, proc := range procs {
		stat, err := os.ReadFile(filepath.Join(proc, "stat"))
		if err != nil {
			continue
		}
		used, err := processorTime(stat)
		if err != nil {
			return 0, fmt.Errorf("read %s/stat: %w", proc, err)
		}
		total += used
	}
	return total, err
}
