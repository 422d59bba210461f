package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// edits is how often a file is saved, and how often a service is restarted
// under load.
const edits = 100

// edit is a way from a saved file to an answer.
type edit struct {
	name   string
	target float64 // in multiples of the baseline
	rule   string  // of develop.watch; "" where there is no watch
	role   string  // of the service: what it answers with
}

// change of the page restarts the service or not, or builds it.
func changes() []edit {
	return []edit{
		{"sync", 2, "{path: ./src, target: /srv, action: sync, initial_sync: true}", "now"},
		{"sync+restart", 5, "{path: ./src, target: /srv, action: sync+restart, initial_sync: true}", "start"},
		{"rebuild", 12, "{path: ./src, action: rebuild}", "start"},
	}
}

const pagePath = "src/page"

// write makes the project: a service built by one COPY.
func (e edit) write(dir, image string) (string, error) {
	text := fmt.Sprintf("services:\n  web:\n    build: .\n    command: [%s, web, %s, /srv/page]\n    ports: [\"127.0.0.1:%d:%d\"]\n    stop_grace_period: 2s\n",
		benchPath, e.role, publishedPort, servePort)
	if e.rule != "" {
		text += "    develop:\n      watch:\n        - " + e.rule + "\n"
	}
	folder, err := writeProject(dir, "edit-"+e.role, text)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Join(folder, "src"), 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(folder, pagePath), []byte("0\n"), 0o644); err != nil {
		return "", err
	}
	return folder, os.WriteFile(filepath.Join(folder, "Dockerfile"), []byte("FROM "+image+"\nCOPY src /srv\n"), 0o644)
}

// live measures the way from a saved file to the first answer with it, and
// requests meanwhile.
func (b *bench) live(t tool) {
	for _, e := range changes() {
		name := e.name + ", edit to answer"
		loaded := e.name + " under load"
		if !b.wanted(t, name+", "+loaded) {
			continue
		}
		if err := b.liveCase(t, e, name, loaded); err != nil {
			b.report.fail(t.name, name, err)
		}
	}
	if name := "restart under load"; b.wanted(t, name) {
		if err := b.restartCase(t, name); err != nil {
			b.report.fail(t.name, name, err)
		}
	}
}

func (b *bench) liveCase(t tool, e edit, name, loaded string) error {
	return b.served(t, e, func(folder string) error {
		stop, err := startWatch(t, folder)
		if err != nil {
			return err
		}
		defer stop()
		page := &page{path: filepath.Join(folder, pagePath), client: newClient(t)}
		if err := page.settle(); err != nil {
			return err
		}
		var times []time.Duration
		for range edits {
			time.Sleep(breath)
			took, err := page.edit()
			if err != nil {
				return err
			}
			times = append(times, took)
		}
		b.report.time(t.name, name, times, b.baseline, t.promise(e.target))
		b.report.value(t.name, e.name+", 99th percentile", "x", ms(percentile(times, 99))/ms(b.baseline), t.promise(e.target), "")
		return b.underLoad(t, loaded, func() error {
			_, err := page.edit()
			return err
		})
	})
}

func (b *bench) restartCase(t tool, name string) error {
	return b.served(t, edit{role: "start"}, func(folder string) error {
		return b.underLoad(t, name, func() error {
			_, err := t.run(folder, "restart", "web")
			return err
		})
	})
}

// served runs fn while the project of e is up.
func (b *bench) served(t tool, e edit, fn func(folder string) error) error {
	folder, err := e.write(b.dir, t.web)
	if err != nil {
		return err
	}
	if _, err := t.run(folder, "up", "-d", "--build"); err != nil {
		return err
	}
	defer t.run(folder, "down", "--rmi", "all")
	return fn(folder)
}

// underLoad does something again and again while clients ask, without
// keep-alive; every one must get an answer.
func (b *bench) underLoad(t tool, name string, fn func() error) error {
	l := startLoad(t, 4)
	for range edits {
		if err := fn(); err != nil {
			l.stop()
			return err
		}
		l.some() // every generation has its load
	}
	l.stop()
	note := fmt.Sprintf("%d times, %d requests", edits, l.asked)
	if len(l.failed) > 0 {
		note += fmt.Sprintf(", the first that failed: %v", l.failed[0])
	}
	b.report.none(t.name, name+", failed requests", len(l.failed), t.name == devstack, note)
	b.report.value(t.name, name+", the longest request", "ms", ms(l.longest), noTarget, "")
	return nil
}

// promise is a target of devstack's.
func (t tool) promise(target float64) float64 {
	if t.name != devstack {
		return noTarget
	}
	return target
}

// startWatch watches a project until stop.
func startWatch(t tool, folder string) (stop func(), err error) {
	cmd := t.command(context.Background(), folder, "watch", "--no-up")
	apart(cmd)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() {
		interrupt(cmd) // as a terminal would, also what it has started
		slow := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
		defer slow.Stop()
		cmd.Wait() // its exit code after a signal is its own
	}, nil
}

// page is a file that is saved again and again.
type page struct {
	path    string
	version int
	client  *http.Client
}

// settle saves the page until the service has it: watching begins some time
// after the command does.
func (p *page) settle() error {
	var last error
	for range 30 {
		began, err := p.save()
		if err != nil {
			return err
		}
		if _, last = p.await(began, time.Second); last == nil {
			return nil
		}
	}
	return last
}

// edit gives the time from the write of the page to the first answer with it.
func (p *page) edit() (time.Duration, error) {
	began, err := p.save()
	if err != nil {
		return 0, err
	}
	return p.await(began, patience)
}

// save writes the file in its place, as an editor without a temporary one.
func (p *page) save() (began time.Time, err error) {
	p.version++
	f, err := os.OpenFile(p.path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return began, err
	}
	began = time.Now()
	_, err = fmt.Fprintln(f, p.version)
	if e := f.Close(); err == nil {
		err = e
	}
	return began, err
}

func (p *page) await(began time.Time, limit time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithDeadline(context.Background(), began.Add(limit))
	defer cancel()
	want := strconv.Itoa(p.version)
	for {
		got, err := ask(ctx, p.client)
		switch {
		case err == nil && got == want:
			return time.Since(began), nil
		case ctx.Err() != nil:
			return 0, fmt.Errorf("edit %s: after %s the answer is %q, %v", want, limit, got, err)
		}
		time.Sleep(time.Millisecond / 4) // leaves the processor to what is measured
	}
}
