package guard

import (
	"os"
	"syscall"
)

// kept is a duplicate of a descriptor of the engine's.
type kept struct {
	name string
	fd   int
}

// heldExit is remembered until the engine says forget.
type heldExit struct {
	process
	status uint32
	sent   bool // to the engine that runs now
}

// progress says how much of the tables the engine that runs now has seen.
type progress struct {
	welcome bool
	kept    int // index of the next
	ready   bool
	synced  uint32 // the last sync that has to be answered; 0: none
}

func (g *guard) restartSending() {
	g.unsent = progress{}
	for i := range g.exits {
		g.exits[i].sent = false
	}
	g.send()
}

func (g *guard) pending() bool {
	if g.link < 0 {
		return false
	}
	if !g.unsent.ready || g.unsent.synced != 0 {
		return true
	}
	for i := range g.exits {
		if !g.exits[i].sent {
			return true
		}
	}
	return false
}

// send sends what the engine does not know yet, as far as its queue has room.
func (g *guard) send() {
	if g.link < 0 {
		return
	}
	if !g.unsent.welcome {
		if !g.sendPacket(packet(opWelcome, protocolVersion, uint32(os.Getpid()), g.generation), -1) {
			return
		}
		g.unsent.welcome = true
	}
	// What this engine has given itself it does not need back.
	for ; !g.unsent.ready && g.unsent.kept < len(g.kept); g.unsent.kept++ {
		k := g.kept[g.unsent.kept]
		if !g.sendPacket(named(opKept, k.name), k.fd) {
			return
		}
	}
	for i := range g.exits {
		e := &g.exits[i]
		if e.sent {
			continue
		}
		if !g.sendPacket(packet(opExit, uint32(e.pid), e.status, uint32(e.start), uint32(e.start>>32)), -1) {
			return
		}
		e.sent = true
	}
	if !g.unsent.ready {
		g.unsent.ready = g.sendPacket(packet(opReady), -1)
	}
	if n := g.unsent.synced; n != 0 && g.sendPacket(packet(opSynced, n), -1) {
		g.unsent.synced = 0
	}
}

// sendPacket says whether the packet is on its way. An engine that is gone
// takes everything: its end will be noticed elsewhere.
func (g *guard) sendPacket(msg []byte, fd int) bool {
	var rights []byte
	if fd >= 0 {
		rights = syscall.UnixRights(fd)
	}
	for {
		err := syscall.Sendmsg(g.link, msg, rights, nil, syscall.MSG_NOSIGNAL|syscall.MSG_DONTWAIT)
		if err == syscall.EINTR {
			continue
		}
		// ETOOMANYREFS: too many descriptors in flight; wait until some have landed.
		return err != syscall.EAGAIN && err != tooManyFDs && err != syscall.ENOBUFS
	}
}

// hearing is where packets arrive. There is one, for a guard that makes garbage
// collects it, and that touches more memory than all the rest.
type hearing struct {
	buf [maxPacket]byte
	oob [64]byte
}

// receive takes all packets that are there.
func (g *guard) receive() {
	if g.heard == nil {
		g.heard = new(hearing)
	}
	buf, oob := g.heard.buf[:], g.heard.oob[:]
	for g.link >= 0 {
		n, oobn, flags, _, err := syscall.Recvmsg(g.link, buf, oob, syscall.MSG_DONTWAIT|syscall.MSG_CMSG_CLOEXEC)
		if err == syscall.EINTR || err == syscall.ECONNRESET {
			continue // reset: the engine has not read everything, but what it sent is here
		}
		if err == syscall.EAGAIN {
			return
		}
		if err != nil || n == 0 {
			g.closeLink()
			return
		}
		fd := oneDescriptor(oob[:oobn])
		if flags&syscall.MSG_TRUNC != 0 || !g.obey(buf[:n], fd) {
			if fd >= 0 {
				syscall.Close(fd)
			}
		}
	}
}

// oneDescriptor returns the first descriptor of a control message, or -1, and
// closes all others.
func oneDescriptor(oob []byte) int {
	first := -1
	messages, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return first
	}
	for i := range messages {
		fds, err := syscall.ParseUnixRights(&messages[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			if first < 0 {
				first = fd
			} else {
				syscall.Close(fd)
			}
		}
	}
	return first
}

// obey carries out one message and says whether it has taken over fd.
func (g *guard) obey(msg []byte, fd int) bool {
	switch name := string(msg[1:]); msg[0] {
	case opKeep:
		return fd >= 0 && name != "" && len(name) <= MaxName && g.keep(name, fd)
	case opDrop:
		if !needed(name) {
			g.drop(name)
		}
	case opForget:
		g.forget(parseForget(msg))
	case opUse:
		g.use(name)
	case opSync:
		g.unsent.synced = max(g.unsent.synced, number(msg, 0)) // they may come in another order
		g.send()
	case opServing:
		g.serving = true
	case opBye:
		g.bye = true
	}
	return false
}

func (g *guard) keep(name string, fd int) bool {
	for i := range g.kept {
		if g.kept[i].name == name {
			syscall.Close(g.kept[i].fd)
			g.kept[i].fd = fd
			return true
		}
	}
	if len(g.kept) >= MaxKept {
		return false
	}
	g.kept = append(g.kept, kept{name, fd})
	return true
}

func (g *guard) drop(name string) {
	for i := range g.kept {
		if g.kept[i].name != name {
			continue
		}
		syscall.Close(g.kept[i].fd)
		g.kept = append(g.kept[:i], g.kept[i+1:]...)
		if g.unsent.kept > i {
			g.unsent.kept--
		}
		return
	}
}

func (g *guard) descriptor(name string) int {
	for i := range g.kept {
		if g.kept[i].name == name {
			return g.kept[i].fd
		}
	}
	return -1
}

func (g *guard) holdExit(p process, ws syscall.WaitStatus) {
	if len(g.exits) >= MaxExits {
		g.exits = append(g.exits[:0], g.exits[1:]...)
	}
	g.exits = append(g.exits, heldExit{process: p, status: uint32(ws)})
	g.send()
}

func (g *guard) forget(p process) {
	for i := range g.exits {
		if g.exits[i].process == p {
			g.exits = append(g.exits[:i], g.exits[i+1:]...)
			return
		}
	}
}

// use makes path the binary of the next engines. The file is pinned: whatever
// is put at its path later, a dead engine comes back as it was.
func (g *guard) use(path string) {
	fd, err := syscall.Open(path, oPath|syscall.O_CLOEXEC, 0)
	if err != nil {
		g.say("use " + path + ": " + err.Error())
		return
	}
	if g.pinned >= 0 {
		syscall.Close(g.pinned)
	}
	g.pinned, g.binary = fd, "/proc/self/fd/"+itoa(fd)
}

func (g *guard) closeLink() {
	if g.link >= 0 {
		syscall.Close(g.link)
		g.link = -1
	}
}
