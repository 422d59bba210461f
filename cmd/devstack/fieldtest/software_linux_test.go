package fieldtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSoftware runs PostgreSQL, Redis and nginx as one project and expects
// their data to survive `down` and `up`, and the death of their processes.
func TestSoftware(t *testing.T) {
	debian := needDebian(t)
	s := newStage(t, "DEBIAN="+debian)
	s.copyProject(t, "testdata/software")

	s.run(t, "up", "-d", "--wait")
	sql := func(query string) string {
		t.Helper()
		return strings.TrimSpace(s.run(t, "exec", "-T", "db", "psql", "-h", "/tmp", "-AtqX", "-v", "ON_ERROR_STOP=1", "-c", query))
	}
	redis := func(command ...string) string {
		t.Helper()
		return strings.TrimSpace(s.run(t, append([]string{"exec", "-T", "web", "redis-cli", "-h", "cache"}, command...)...))
	}

	sql("CREATE TABLE visits (who text); INSERT INTO visits VALUES ('ann'), ('bob')")
	if got := redis("SET", "greeting", "hello"); got != "OK" {
		t.Errorf("redis said %q", got)
	}
	if page := get(t, "http://127.0.0.1:18080/index.nginx-debian.html"); !strings.Contains(page, "nginx") {
		t.Errorf("page from the image:\n%s", page)
	}
	s.run(t, "exec", "-T", "web", "sh", "-c", "echo my own page > /var/www/html/own.html")
	s.run(t, "exec", "-T", "web", "pg_isready", "-q", "-h", "db") // by name, from another container

	check := func(when string) {
		t.Helper()
		if got := sql("SELECT string_agg(who, ' ' ORDER BY who) FROM visits"); got != "ann bob" {
			t.Errorf("%s: PostgreSQL has %q", when, got)
		}
		if got := redis("GET", "greeting"); got != "hello" {
			t.Errorf("%s: Redis has %q", when, got)
		}
		if got := get(t, "http://127.0.0.1:18080/own.html"); got != "my own page\n" {
			t.Errorf("%s: nginx serves %q", when, got)
		}
	}
	check("at first")

	owner, err := os.Stat(filepath.Join(s.roots.Data, "volumes", "software_db", "_data", "15", "main"))
	if err != nil || owner.Mode().Perm() != 0o700 {
		t.Errorf("the volume's data directory: %v, %v", owner, err)
	}

	s.run(t, "down")
	s.run(t, "up", "-d", "--wait")
	check("after down and up")

	s.run(t, "kill", "-s", "KILL", "db", "cache")
	s.run(t, "up", "-d", "--wait")
	check("after kill -9 of the servers")

	s.run(t, "restart")
	s.run(t, "up", "-d", "--wait")
	check("after restart")

	if logs := s.run(t, "logs", "--no-log-prefix", "db"); !strings.Contains(logs, "database system is ready to accept connections") {
		t.Errorf("logs of PostgreSQL:\n%s", logs)
	}
	s.run(t, "down", "-v")
}

// copyProject copies the files of a folder into the stage's.
func (s *stage) copyProject(t *testing.T, folder string) {
	t.Helper()
	if err := os.CopyFS(s.dir, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
}
