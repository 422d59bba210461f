package guard

import (
	"os"
	"sync"
	"syscall"
	"time"
)

// maxLog is the size at which engine.log becomes engine.log.1.
const maxLog = 1 << 20

// Log is an engine's standard error, which the guard has connected with
// engine.log. It begins a new file when the present one is large.
type Log struct {
	Path string // of engine.log

	mu      sync.Mutex
	written int
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := os.Stderr.Write(p)
	if l.written += n; l.written >= maxLog {
		l.written = 0
		rotateLog(l.Path)
	}
	return n, err
}

// rotateLog begins a new engine.log if the present one is large. The guard does
// it between two engines.
func rotateLog(path string) {
	var st syscall.Stat_t
	if syscall.Fstat(2, &st) != nil || st.Mode&syscall.S_IFMT != syscall.S_IFREG || st.Size < maxLog {
		return
	}
	if syscall.Rename(path, path+".1") != nil {
		return
	}
	fd, err := syscall.Open(path, syscall.O_WRONLY|syscall.O_APPEND|syscall.O_CREAT|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return
	}
	syscall.Dup3(fd, 1, 0)
	syscall.Dup3(fd, 2, 0)
	syscall.Close(fd)
}

func (g *guard) say(text string) {
	line := time.Now().UTC().Format("2006-01-02T15:04:05.000Z") + " guard: " + text + "\n"
	syscall.Write(2, []byte(line))
}

func describe(ws syscall.WaitStatus) string {
	if ws.Signaled() {
		return "signal " + itoa(int(ws.Signal()))
	}
	return "exit status " + itoa(ws.ExitStatus())
}
