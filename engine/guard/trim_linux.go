package guard

import (
	"os"
	"syscall"
)

// trimAfter is how long, in milliseconds, nothing must have happened before the
// guard gives back what it does not need to sleep.
const trimAfter = 500

// trim gives back the pages of the program's file. The ones that are used again
// come back from the page cache; most of what a process touches while it starts
// is never used again.
func trim() {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for begin := 0; begin < len(maps); {
		end := begin
		for end < len(maps) && maps[end] != '\n' {
			end++
		}
		if from, to, ok := fileMapping(maps[begin:end]); ok {
			syscall.Syscall(syscall.SYS_MADVISE, from, to-from, dontNeed)
		}
		begin = end + 1
	}
}

// fileMapping decodes a line such as
//
//	00400000-00c9b000 r-xp 00000000 08:01 1234   /usr/bin/devstack
//
// and says whether it is a read-only view of a file, which holds nothing that
// the file does not.
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
