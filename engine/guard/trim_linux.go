package guard

import "syscall"

// trimAfter is how long, in milliseconds, nothing must have happened before the
// guard gives back what it does not need to sleep.
const trimAfter = 500

// Trim gives back the pages of the program's file. The ones that are used again
// come back from the page cache; most of what a process touches while it starts
// or works is not used again for long. An engine may do it, too, when it is idle.
func Trim() {
	fd, err := syscall.Open("/proc/self/smaps", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer syscall.Close(fd)
	var buf [4096]byte
	var m mapping
	for have := 0; have < len(buf); {
		n, err := syscall.Read(fd, buf[have:])
		if err == syscall.EINTR {
			continue
		}
		if n <= 0 {
			return
		}
		have += n
		begin := 0
		for i := 0; i < have; i++ {
			if buf[i] == '\n' {
				m.line(buf[begin:i])
				begin = i + 1
			}
		}
		have = copy(buf[:], buf[begin:have])
	}
}

// mapping is one entry of /proc/self/smaps:
//
//	00400000-00c9b000 r-xp 00000000 08:01 1234   /usr/bin/devstack
//	Rss:                2048 kB
//	Anonymous:             0 kB
//	Swap:                  0 kB
//	VmFlags: rd ex mr mw me
type mapping struct {
	from, to  uintptr
	droppable bool
}

// line takes one line. A read-only view of a file may still hold what the file
// does not: relocations that the linker made before it took the right to write
// away. Such pages are anonymous, and then the mapping stays as it is.
func (m *mapping) line(line []byte) {
	switch {
	case hasPrefix(string(line), "Anonymous:"), hasPrefix(string(line), "Swap:"):
		m.droppable = m.droppable && isZero(line)
	case hasPrefix(string(line), "VmFlags:"): // the last one
		if m.droppable {
			syscall.Syscall(syscall.SYS_MADVISE, m.from, m.to-m.from, dontNeed)
		}
		m.droppable = false
	default:
		if from, to, ok := fileMapping(line); ok {
			*m = mapping{from, to, true}
		}
	}
}

// isZero says whether a line such as "Swap:    0 kB" does.
func isZero(line []byte) bool {
	for _, c := range line {
		if c >= '1' && c <= '9' {
			return false
		}
	}
	return true
}

// fileMapping decodes the head of an entry and says whether it is a private,
// read-only view of a file.
func fileMapping(line []byte) (from, to uintptr, ok bool) {
	from, line = hex(line, '-')
	to, line = hex(line, ' ')
	if len(line) < 4 || line[1] != '-' || line[3] != 'p' {
		return 0, 0, false
	}
	for _, c := range line {
		if c == '/' {
			return from, to, from < to
		}
	}
	return 0, 0, false
}

func hex(s []byte, end byte) (n uintptr, rest []byte) {
	for i, c := range s {
		switch {
		case c == end:
			return n, s[i+1:]
		case c >= '0' && c <= '9':
			n = n<<4 | uintptr(c-'0')
		case c >= 'a' && c <= 'f':
			n = n<<4 | uintptr(c-'a'+10)
		default:
			return 0, nil
		}
	}
	return 0, nil
}
