package engine

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"devstack/engine/api"
	"devstack/engine/supervise"
)

// clockTick is the unit of times in /proc: 1/100 s on every architecture.
const clockTick = 10 * time.Millisecond

// Top lists the processes of running containers, as the machine sees them.
func (e *Engine) Top(_ context.Context, req api.TopRequest, _ func(api.Message)) ([]api.TopContainer, error) {
	out := []api.TopContainer{}
	var users map[string]string
	boot := bootTime()
	for _, u := range e.unitsOf(req.Name, req.Services) {
		c := u.Process()
		if c == nil {
			continue
		}
		pids, err := c.Processes()
		if err != nil {
			return nil, fmt.Errorf("list processes of %s: %w", u.Name(), err)
		}
		if users == nil {
			users = userNames()
		}
		slices.Sort(pids)
		t := api.TopContainer{Container: u.Name(), Service: u.Service(), Number: u.Number(), OneOff: u.OneOff(), Processes: []api.Process{}}
		for _, pid := range pids {
			if p, ok := processOf(pid, boot, users); ok {
				t.Processes = append(t.Processes, p)
			}
		}
		out = append(out, t)
	}
	return out, nil
}

// unitsOf are a project's containers, of some services or of all.
func (e *Engine) unitsOf(project string, services []string) []*supervise.Unit {
	p := e.known(project)
	if p == nil {
		return nil
	}
	return slices.DeleteFunc(p.Units(), func(u *supervise.Unit) bool {
		return len(services) > 0 && !slices.Contains(services, u.Service())
	})
}

// processOf reads /proc/PID; a process that is gone meanwhile is none.
func processOf(pid int, boot time.Time, users map[string]string) (api.Process, bool) {
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return api.Process{}, false
	}
	name, fields, ok := parseStat(stat)
	if !ok {
		return api.Process{}, false
	}
	at := func(field int) uint64 { // by its number in proc_pid_stat(5)
		n, _ := strconv.ParseUint(fields[field-3], 10, 64)
		return n
	}
	p := api.Process{
		PID: pid, Parent: int(at(4)), TTY: ttyName(at(7)),
		Time:    time.Duration(at(14)+at(15)) * clockTick,
		Started: boot.Add(time.Duration(at(22)) * clockTick),
		Command: "[" + name + "]",
	}
	if age := time.Since(p.Started); age > 0 {
		p.CPU = int(100 * p.Time / age)
	}
	if line, err := os.ReadFile(dir + "/cmdline"); err == nil && len(line) > 0 {
		p.Command = strings.TrimRight(string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})), " ")
	}
	p.User = ownerOf(dir)
	if known, ok := users[p.User]; ok {
		p.User = known
	}
	return p, true
}

// parseStat splits a stat file; the command may hold anything but ends with the
// last parenthesis. fields begin with the third of the manual page.
func parseStat(stat []byte) (name string, fields []string, ok bool) {
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return "", nil, false
	}
	fields = strings.Fields(string(stat[end+1:]))
	return string(stat[open+1 : end]), fields, len(fields) > 22-3
}

// ttyName names the terminals that containers have.
func ttyName(device uint64) string {
	major, minor := device>>8&0xfff, device&0xff|device>>12&0xfff00
	switch {
	case major >= 136 && major <= 143:
		return "pts/" + strconv.FormatUint((major-136)*256+minor, 10)
	case major == 4:
		return "tty" + strconv.FormatUint(minor, 10)
	}
	return "?"
}

// ownerOf is the effective user id of the process at dir.
func ownerOf(dir string) string {
	status, _ := os.ReadFile(dir + "/status")
	for line := range strings.Lines(string(status)) {
		if ids, ok := strings.CutPrefix(line, "Uid:"); ok {
			if f := strings.Fields(ids); len(f) > 1 {
				return f[1]
			}
		}
	}
	return "?"
}

// userNames are the names of the machine's own accounts by their numbers.
func userNames() map[string]string {
	names := map[string]string{}
	passwd, _ := os.ReadFile("/etc/passwd")
	for line := range strings.Lines(string(passwd)) {
		f := strings.Split(line, ":")
		if len(f) > 2 && names[f[2]] == "" {
			names[f[2]] = f[0]
		}
	}
	return names
}

// bootTime is when the machine's clock ticks began.
func bootTime() time.Time {
	stat, _ := os.ReadFile("/proc/stat")
	for line := range strings.Lines(string(stat)) {
		if seconds, ok := strings.CutPrefix(line, "btime "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(seconds), 10, 64)
			return time.Unix(n, 0)
		}
	}
	return time.Time{}
}
