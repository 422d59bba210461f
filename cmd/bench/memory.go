package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// settle is how long an engine is left alone before its memory is read: it
// gives back what its last operation needed after three seconds.
const settle = 4 * time.Second

// memory measures the proportional set size of everything of ours at 20 and at
// 100 idle services, each with an engine that has done nothing else.
func (b *bench) memory(t tool) {
	if !b.wanted(t, "memory") {
		return
	}
	at := map[int]float64{}
	for _, n := range []int{20, 100} {
		name := fmt.Sprintf("memory at %d idle services", n)
		folder, err := writeProject(b.dir, fmt.Sprintf("flat%d", n), flatProject(n, t.image))
		if err == nil {
			_, err = t.run(folder, "engine", "stop")
		}
		if err == nil {
			_, err = t.run(folder, "up", "-d")
		}
		if err != nil {
			b.report.fail(t.name, name, err)
			return
		}
		time.Sleep(settle)
		bytes, processes, err := ownMemory()
		if _, e := t.run(folder, "down"); err == nil {
			err = e
		}
		if err != nil {
			b.report.fail(t.name, name, err)
			return
		}
		at[n] = float64(bytes) / (1 << 20)
		limit := 0.0
		if n == 20 {
			limit = 25
		}
		b.report.value(t.name, name, "MiB", at[n], limit, processes)
	}
	b.report.value(t.name, "memory of each further service", "MiB", (at[100]-at[20])/80, 0.3, "")
}

// ownProcesses are all of this pid namespace but bench's own and the services',
// as directories of /proc.
func ownProcesses() (procs []string, err error) {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	exes, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		return nil, err
	}
	for _, link := range exes {
		exe, err := os.Readlink(link)
		if err != nil || exe == self || exe == idlePath || exe == benchPath {
			continue // gone, a kernel thread, or not ours
		}
		procs = append(procs, filepath.Dir(link))
	}
	if len(procs) == 0 {
		return nil, fmt.Errorf("find processes of devstack: none runs")
	}
	return procs, nil
}

// ownMemory sums the PSS of all processes of ours, and names them.
func ownMemory() (bytes int64, names string, err error) {
	procs, err := ownProcesses()
	var found []string
	for _, proc := range procs {
		pss, err := readPSS(proc)
		if err != nil {
			continue
		}
		bytes += pss
		found = append(found, fmt.Sprintf("%s %.1f", role(proc), float64(pss)/(1<<20)))
	}
	return bytes, strings.Join(found, ", "), err
}

// role shows the process by its first argument: guard, engine, child.
func role(proc string) string {
	line, _ := os.ReadFile(filepath.Join(proc, "cmdline"))
	args := strings.Split(string(line), "\x00")
	if len(args) > 1 && args[1] != "" {
		return args[1]
	}
	return filepath.Base(args[0])
}

func readPSS(proc string) (int64, error) {
	f, err := os.Open(filepath.Join(proc, "smaps_rollup"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), "Pss:")
		if !ok {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		return kib << 10, err
	}
	return 0, fmt.Errorf("read %s: no Pss", f.Name())
}
