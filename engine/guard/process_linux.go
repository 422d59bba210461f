package guard

import (
	"os"
	"syscall"
	"time"
)

// Where the client that starts a guard puts the listening socket of the API,
// the lock of the data root and the socket's inode.
const (
	firstListener = 3
	firstLock     = 4
	firstDoor     = 5
)

// linkVariable tells an engine which descriptor leads to its guard.
const linkVariable = "DEVSTACK_GUARD"

// guard is the process. One goroutine owns it and sleeps in one poll(2):
//
//	           start                    died, or restart asked for
//	[pausing] --------> [engine runs] ------------------------------> [pausing]
//	    ^                    |                                           |
//	    +--- hopeless ------ | status 0, or bye ------> [end] <----------+
//	                                     hopeless with nothing to keep
type guard struct {
	run    string // run root
	socket syscall.Stat_t
	binary string // what to execute; a path below /proc/self pins the file
	pinned int    // descriptor behind binary, or -1

	engine     int // pid; 0 while pausing
	born       time.Time
	generation uint32
	respawn    respawn
	next       time.Time // of the next start, while pausing

	link     int // our end, -1 when there is none
	bye      bool
	serving  bool // the engine has come so far, see Link.Serving
	kept     []kept
	exits    []heldExit
	unsent   progress
	heard    *hearing
	children *children
	awake    bool // since the last trim
}

// guardMain is `devstack guard RUNROOT`. It returns the exit status.
func guardMain(run string) int {
	g := &guard{run: run, binary: "/proc/self/exe", pinned: -1, link: -1}
	if err := g.prepare(); err != nil {
		g.say("start: " + err.Error())
		return 1
	}
	g.start()
	for {
		if status, ended := g.step(); ended {
			return status
		}
	}
}

func (g *guard) prepare() error {
	syscall.CloseOnExec(firstListener)
	if err := syscall.SetNonblock(firstListener, true); err != nil {
		return os.NewSyscallError("use listening socket", err)
	}
	g.kept = append(g.kept, kept{API, firstListener})
	if err := syscall.Stat(g.path("engine.sock"), &g.socket); err != nil {
		return os.NewSyscallError("stat engine.sock", err)
	}
	g.takeData()
	if err := becomeSubreaper(); err != nil {
		return os.NewSyscallError("become subreaper", err)
	}
	syscall.Umask(0o022)
	setHangup(hangupIgnored)
	if err := syscall.Chdir("/"); err != nil {
		return os.NewSyscallError("chdir /", err)
	}
	var err error
	g.children, err = watchChildren()
	return err
}

// step waits for something to happen and deals with it.
func (g *guard) step() (status int, ended bool) {
	fds := [3]pollFD{
		{fd: int32(g.children.ended), events: pollIn},
		{fd: int32(g.link), events: pollIn}, // poll skips negative descriptors
		{fd: -1, events: pollIn},
	}
	if g.pending() {
		fds[1].events |= pollOut
	}
	timeout := -1
	if g.awake {
		timeout = trimAfter
	}
	if g.engine == 0 {
		if g.next.Sub(g.born) > shortLife {
			fds[2].fd = int32(g.descriptor(API)) // a client would make it shorter
		}
		timeout = max(0, int(time.Until(g.next)/time.Millisecond)+1)
	}
	ready, err := poll(fds[:], timeout)
	if err != nil && err != syscall.EINTR {
		g.say("poll: " + err.Error())
		return 1, true
	}
	if g.awake = ready > 0 || g.engine == 0; !g.awake && timeout > 0 {
		Trim()
	}
	if fds[1].revents&(pollIn|pollHup|pollErr) != 0 {
		g.receive()
	}
	if fds[1].revents&pollOut != 0 {
		g.send()
	}
	if fds[0].revents&pollIn != 0 {
		if status, ended = g.reap(); ended {
			return status, true
		}
	}
	if g.engine == 0 && g.due(fds[2].revents&pollIn != 0) {
		g.start()
	}
	return 0, false
}

// due says whether a pause is over. A client at the door makes a long pause a
// short one: it waits for the next start, no longer than a life that counts.
func (g *guard) due(client bool) bool {
	now := time.Now()
	if soon := g.born.Add(shortLife); client && soon.Before(g.next) {
		g.next = soon
	}
	return !now.Before(g.next)
}

// turnAway tells the clients that have waited for a hopeless engine, one that
// dies before it serves anybody, so that they can say why.
func (g *guard) turnAway() {
	for g.respawn.hopeless() && !g.serving {
		fd, _, err := syscall.Accept4(g.descriptor(API), syscall.SOCK_CLOEXEC)
		if err == syscall.EINTR || err == syscall.ECONNABORTED {
			continue
		}
		if err != nil {
			return
		}
		syscall.Close(fd)
	}
}

// start starts an engine. When that is impossible it counts as a death.
func (g *guard) start() {
	rotateLog(g.path("engine.log"))
	g.born = time.Now()
	g.generation++
	g.bye, g.serving = false, false
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		g.fail("make socketpair: " + err.Error())
		return
	}
	pid, err := syscall.ForkExec(g.binary, []string{"devstack", "engine", "serve"}, &syscall.ProcAttr{
		Dir:   "/",
		Env:   engineEnviron(os.Environ()),
		Files: []uintptr{0, 1, 2, uintptr(pair[1])},
	})
	syscall.Close(pair[1])
	if err != nil {
		syscall.Close(pair[0])
		g.fail("execute engine: " + err.Error())
		return
	}
	g.engine, g.link = pid, pair[0]
	g.restartSending()
	g.children.resume()
}

func (g *guard) fail(why string) {
	g.say(why)
	g.next = time.Now().Add(g.respawn.died(0))
	g.turnAway()
}

// ended deals with the end of the engine.
func (g *guard) ended(ws syscall.WaitStatus) (status int, over bool) {
	g.receive() // what it said last still counts
	g.closeLink()
	pid := g.engine
	g.engine = 0
	g.next = time.Now()
	switch {
	case g.bye || ws.Exited() && ws.ExitStatus() == StatusDone:
		g.respawn = respawn{} // it was well enough to end in order
		return 0, g.end()
	case ws.Exited() && ws.ExitStatus() == StatusRestart:
		return 0, false
	}
	pause := g.respawn.died(time.Since(g.born))
	g.next = g.next.Add(pause)
	g.say("engine (pid " + itoa(pid) + ") died: " + describe(ws) + "; starting it again in " + pause.String())
	if g.respawn.hopeless() && g.nothingKept() && g.children.none() {
		g.say("engine died " + itoa(g.respawn.deaths) + " times in a row and nothing is left to keep: giving up")
		g.end()
		return 1, true
	}
	g.turnAway()
	return 0, false
}

// end removes the socket, unless a client is waiting at it: then the engine is
// wanted again. The client's lock keeps new sockets from appearing meanwhile,
// the renaming keeps connections from being lost between look and removal.
func (g *guard) end() bool {
	if lock, err := syscall.Open(g.path("engine.lock"), syscall.O_RDWR|syscall.O_CREAT|syscall.O_CLOEXEC, 0o600); err == nil {
		defer syscall.Close(lock)
		for syscall.Flock(lock, syscall.LOCK_EX) == syscall.EINTR {
		}
	}
	socket, aside := g.path("engine.sock"), g.path("engine.sock.end")
	var st syscall.Stat_t
	ours := syscall.Stat(socket, &st) == nil && st.Ino == g.socket.Ino && st.Dev == g.socket.Dev
	if ours {
		syscall.Rename(socket, aside)
	}
	waiting := [1]pollFD{{fd: int32(g.descriptor(API)), events: pollIn}}
	if n, _ := poll(waiting[:], 0); n > 0 && ours && !g.respawn.hopeless() {
		syscall.Rename(aside, socket)
		return false
	}
	if ours {
		syscall.Unlink(aside)
	}
	g.releaseData()
	return true
}

func (g *guard) path(name string) string { return g.run + "/" + name }

// engineEnviron is the client's environment without what tunes the guard's own
// runtime (see client.guardEnviron).
func engineEnviron(environ []string) []string {
	env := make([]string, 0, len(environ)+1)
	for _, kv := range environ {
		if hasPrefix(kv, "GOGC=") || hasPrefix(kv, "GOMAXPROCS=") || hasPrefix(kv, linkVariable+"=") {
			continue
		}
		env = append(env, kv)
	}
	return append(env, linkVariable+"=3")
}
