package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// baselineRuns is how often crun is measured.
const baselineRuns = 25

// measureBaseline gives the durations of a bare "crun run" of a static true:
// the default spec, no terminal, no cgroup.
func measureBaseline(dir string, programs []program) ([]time.Duration, error) {
	crun, err := exec.LookPath("crun")
	if err != nil {
		return nil, errors.New("crun is not installed (apt install crun): there is no baseline")
	}
	bundle := filepath.Join(dir, "bundle")
	if err := makeBundle(crun, bundle, programs); err != nil {
		return nil, fmt.Errorf("make crun's bundle: %w", err)
	}
	cmd := exec.Command("/proc/self/exe", "baseline", crun, bundle)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("run the baseline: %w", err)
	}
	var times []time.Duration
	return times, json.Unmarshal(out, &times)
}

func makeBundle(crun, bundle string, programs []program) error {
	root := filepath.Join(bundle, "rootfs", "bin")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	for _, p := range programs {
		if err := os.WriteFile(filepath.Join(root, filepath.Base(p.path)), p.data, 0o755); err != nil {
			return err
		}
	}
	cmd := exec.Command(crun, "spec")
	cmd.Dir = bundle
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("crun spec: %w: %s", err, out)
	}
	path := filepath.Join(bundle, "config.json")
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var spec map[string]any
	if err := json.Unmarshal(data, &spec); err != nil {
		return err
	}
	process, ok := spec["process"].(map[string]any)
	if !ok {
		return errors.New("crun spec: no process")
	}
	process["terminal"], process["args"] = false, []string{"/bin/true"}
	if data, err = json.Marshal(spec); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

// baselineProcess is the role "baseline": it has a mount namespace of its own.
func baselineProcess(args []string, stdout io.Writer) error {
	if len(args) != 2 {
		return errors.New("this role is not for the command line")
	}
	crun, bundle := args[0], args[1]
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := coverUnified(); err != nil {
		return fmt.Errorf("cover %s: %w", hybridUnified, err)
	}
	var times []time.Duration
	for i := range baselineRuns + 3 {
		cmd := exec.Command(crun, "--cgroup-manager=disabled", "--root", filepath.Join(bundle, "state"),
			"run", "--bundle", bundle, fmt.Sprintf("bench-%d", i))
		began := time.Now()
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("crun run: %w: %s", err, out)
		}
		if i >= 3 { // the first ones fill caches
			times = append(times, time.Since(began))
		}
	}
	return json.NewEncoder(stdout).Encode(times)
}
