package guard

import (
	"os"
	"syscall"
)

// Holder is who holds a data root: the line in the file of its lock. The lock
// itself is a flock(2) on one open file that a client makes and the guard and
// its engines share, so it is free when the last of them has ended, however.
type Holder struct {
	PID   int
	Start uint64 // of PID, see Exit
	Door  int    // PID's descriptor (O_PATH) of the API's socket
	Run   string // its run root
}

// ReadHolder reads the file of a data root's lock.
func ReadHolder(path string) (Holder, bool) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Holder{}, false
	}
	return parseHolder(string(data))
}

func parseHolder(line string) (Holder, bool) {
	var words [3]string
	for i := range words {
		words[i], line = word(line)
	}
	h := Holder{PID: atoi(words[0]), Start: decimal(words[1]), Door: atoi(words[2])}
	if n := len(line); n > 0 && line[n-1] == '\n' {
		h.Run = line[:n-1]
	}
	return h, h.PID > 0 && h.Start > 0 && h.Door >= 0 && h.Run != ""
}

func word(s string) (first, rest string) {
	for i := range len(s) {
		if s[i] == ' ' {
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

func decimal(s string) (n uint64) {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + uint64(c-'0')
	}
	return n
}

// Alive says whether the holder is the process that wrote the line.
func (h Holder) Alive() bool { return h.Start != 0 && startTime(h.PID) == h.Start }

// Socket is a path of the holder's socket that nobody can remove: connect(2)
// follows it to the socket even when its file is gone.
func (h Holder) Socket() string { return "/proc/" + itoa(h.PID) + "/fd/" + itoa(h.Door) }

// Hold writes into the file of the lock that this process, whose descriptor
// door leads to its socket, holds it for run. On a full disk it stays empty:
// the lock holds, but nobody can tell whose it is.
func Hold(lock, door int, run string) {
	pid := os.Getpid()
	line := itoa(pid) + " " + itoa(int(startTime(pid))) + " " + itoa(door) + " " + run + "\n"
	syscall.Ftruncate(lock, 0)
	syscall.Pwrite(lock, []byte(line), 0)
}

// takeData takes over the lock and the socket's inode, if the client has
// brought them.
func (g *guard) takeData() {
	var st syscall.Stat_t
	if syscall.Fstat(firstDoor, &st) != nil || st.Mode&syscall.S_IFMT != syscall.S_IFSOCK {
		return
	}
	if syscall.Fstat(firstLock, &st) != nil || st.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return
	}
	syscall.CloseOnExec(firstLock)
	syscall.CloseOnExec(firstDoor)
	g.kept = append(g.kept, kept{Lock, firstLock}, kept{Door, firstDoor})
	Hold(firstLock, firstDoor, g.run)
}

// releaseData lets the next client have the lock before this process is gone.
func (g *guard) releaseData() {
	if fd := g.descriptor(Lock); fd >= 0 {
		syscall.Ftruncate(fd, 0)
		syscall.Flock(fd, syscall.LOCK_UN)
	}
}

// needed says whether name is kept for guard and engine themselves.
func needed(name string) bool { return name == API || name == Lock || name == Door }

// nothingKept says that there is nothing but that.
func (g *guard) nothingKept() bool {
	for i := range g.kept {
		if !needed(g.kept[i].name) {
			return false
		}
	}
	return true
}
