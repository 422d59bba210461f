package child

import "syscall"

// All paths of a container are resolved below a descriptor of its root, never
// by the kernel's idea of "/": an absolute or climbing symbolic link stays
// inside (openat2(2) RESOLVE_IN_ROOT), and procfs' magic links are refused. What
// is found is used through the descriptor, so nothing can be swapped between
// look and use (CVE-2021-30465, CVE-2025-31133, CVE-2025-52565).

const inRoot = resolveInRoot | resolveNoMagiclinks

// lookup opens path below root with O_PATH.
func lookup(root int, path string) (int, syscall.Errno) {
	return openat2(root, relative(path), oPath, 0, inRoot)
}

// relative cuts leading slashes; the root itself is ".".
func relative(path string) string {
	for len(path) > 0 && path[0] == '/' {
		path = path[1:]
	}
	if path == "" {
		return "."
	}
	return path
}

// A place walks a path below root one component at a time, following symbolic
// links itself, so that missing parts can be made even behind a dangling link
// (/etc/resolv.conf -> ../run/systemd/resolve/stub-resolv.conf is common).
type place struct {
	root  int
	stack []int // descriptors from below root to the current directory
	links int
}

func (p *place) current() int {
	if len(p.stack) == 0 {
		return p.root
	}
	return p.stack[len(p.stack)-1]
}

func (p *place) push(fd int) { p.stack = append(p.stack, fd) }

func (p *place) pop() {
	if n := len(p.stack); n > 0 {
		closeFD(p.stack[n-1])
		p.stack = p.stack[:n-1]
	}
}

func (p *place) close() {
	for len(p.stack) > 0 {
		p.pop()
	}
}

// ensure opens path below root, making missing directories, and an empty file
// at its end if dir is false. The descriptor is O_PATH.
func ensure(root int, path string, dir bool) (int, syscall.Errno) {
	if fd, e := lookup(root, path); e != syscall.ENOENT {
		return fd, e
	}
	p := place{root: root}
	defer p.close()
	return p.walk(split(path), dir)
}

func (p *place) walk(parts []string, dir bool) (int, syscall.Errno) {
	for len(parts) > 0 {
		name := parts[0]
		last := len(parts) == 1
		parts = parts[1:]
		if name == ".." {
			p.pop()
			continue
		}
		fd, e := p.step(name, dir || !last)
		if e != 0 {
			return -1, e
		}
		var st syscall.Stat_t
		if e := fstat(fd, &st); e != 0 {
			closeFD(fd)
			return -1, e
		}
		if st.Mode&syscall.S_IFMT == syscall.S_IFLNK {
			closeFD(fd)
			more, e := p.follow(name)
			if e != 0 {
				return -1, e
			}
			parts = append(more, parts...)
			continue
		}
		if last {
			return fd, 0
		}
		p.push(fd)
	}
	fd, e := openat2(p.current(), ".", oPath, 0, resolveNoSymlinks)
	return fd, e
}

// step opens name in the current directory without following it, making it if
// it is missing; what is mounted there is entered.
func (p *place) step(name string, dir bool) (int, syscall.Errno) {
	const how = oPath | syscall.O_NOFOLLOW
	fd, e := openat(p.current(), name, how, 0)
	if e != syscall.ENOENT {
		return fd, e
	}
	if dir {
		e = mkdirat(p.current(), name, 0o755)
	} else {
		e = mknodat(p.current(), name, syscall.S_IFREG|0o644, 0)
	}
	if e != 0 && e != syscall.EEXIST {
		return -1, e
	}
	return openat(p.current(), name, how, 0)
}

func (p *place) follow(name string) ([]string, syscall.Errno) {
	if p.links++; p.links > 40 {
		return nil, syscall.ELOOP
	}
	content, e := readlinkat(p.current(), name)
	if e != 0 {
		return nil, e
	}
	if len(content) > 0 && content[0] == '/' {
		p.close()
	}
	return split(content), 0
}

// split returns the components of path without empty ones and ".".
func split(path string) []string {
	var parts []string
	start := 0
	for i := 0; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			continue
		}
		if part := path[start:i]; part != "" && part != "." {
			parts = append(parts, part)
		}
		start = i + 1
	}
	return parts
}

// parent splits path into its directory and last component.
func parent(path string) (dir, name string) {
	for len(path) > 1 && path[len(path)-1] == '/' {
		path = path[:len(path)-1]
	}
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			return path[:i+1], path[i+1:]
		}
	}
	return "/", path
}

func hasPrefix(s, prefix string) bool {
	return len(s) >= len(prefix) && s[:len(prefix)] == prefix
}
