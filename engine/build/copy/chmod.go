package copy

import (
	"fmt"
	"strconv"
	"strings"
)

// Mode is a parsed --chmod; its zero value changes nothing.
type Mode struct {
	set   bool
	octal bool
	bits  uint32
	steps []modeStep
}

// modeStep is one operator of a symbolic mode, as chmod(1) has them.
type modeStep struct {
	who  uint32 // the permission bits it may touch, with setuid, setgid and sticky
	op   byte   // + - =
	bits uint32
	x    bool // X: execution for directories and what is executable already
	from byte // u, g, o: copy these bits; 0: none
}

const (
	setuid = 0o4000
	setgid = 0o2000
	sticky = 0o1000
)

// ParseMode reads the value of --chmod: octal, or symbolic as of chmod(1)
// ("u=rwX,go=rX", "+x", "g=u").
func ParseMode(s string) (Mode, error) {
	if s == "" {
		return Mode{}, nil
	}
	if s[0] >= '0' && s[0] <= '9' {
		n, err := strconv.ParseUint(s, 8, 32)
		if err != nil || n > 0o7777 {
			return Mode{}, fmt.Errorf("--chmod=%s: an octal mode lies between 0 and 7777", s)
		}
		return Mode{set: true, octal: true, bits: uint32(n)}, nil
	}
	m := Mode{set: true}
	for clause := range strings.SplitSeq(s, ",") {
		steps, err := parseClause(clause)
		if err != nil {
			return Mode{}, fmt.Errorf("--chmod=%s: %w (octal like 0755, or symbolic like u=rwX,go=rX)", s, err)
		}
		m.steps = append(m.steps, steps...)
	}
	return m, nil
}

func parseClause(clause string) ([]modeStep, error) {
	rest := strings.TrimLeft(clause, "ugoa")
	who := whoBits(clause[:len(clause)-len(rest)])
	if rest == "" {
		return nil, fmt.Errorf("%q has no operator (+, - or =)", clause)
	}
	var steps []modeStep
	for rest != "" {
		op := rest[0]
		if op != '+' && op != '-' && op != '=' {
			return nil, fmt.Errorf("%q is no mode", clause)
		}
		end := 1 + strings.IndexAny(rest[1:], "+-=")
		if end == 0 {
			end = len(rest)
		}
		step := modeStep{who: who, op: op}
		if err := step.permissions(rest[1:end]); err != nil {
			return nil, fmt.Errorf("%q: %w", clause, err)
		}
		steps, rest = append(steps, step), rest[end:]
	}
	return steps, nil
}

func whoBits(who string) uint32 {
	if who == "" {
		who = "a"
	}
	var bits uint32
	for _, c := range who {
		switch c {
		case 'u':
			bits |= setuid | 0o700
		case 'g':
			bits |= setgid | 0o070
		case 'o':
			bits |= 0o007
		case 'a':
			bits |= setuid | setgid | sticky | 0o777
		}
	}
	return bits
}

func (s *modeStep) permissions(perms string) error {
	if perms == "u" || perms == "g" || perms == "o" {
		s.from = perms[0]
		return nil
	}
	for _, c := range perms {
		switch c {
		case 'r':
			s.bits |= 0o444
		case 'w':
			s.bits |= 0o222
		case 'x':
			s.bits |= 0o111
		case 'X':
			s.x = true
		case 's':
			s.bits |= setuid | setgid
		case 't':
			s.bits |= sticky
			s.who |= sticky
		default:
			return fmt.Errorf("%q is no permission (r, w, x, X, s, t, or one of u, g, o)", c)
		}
	}
	return nil
}

// Apply is the mode of something that had the given one.
func (m Mode) Apply(mode uint32, dir bool) uint32 {
	if !m.set {
		return mode
	}
	if m.octal {
		return m.bits
	}
	for _, s := range m.steps {
		mode = s.apply(mode, dir)
	}
	return mode
}

func (s modeStep) apply(mode uint32, dir bool) uint32 {
	bits := s.bits
	if s.x && (dir || mode&0o111 != 0) {
		bits |= 0o111
	}
	if s.from != 0 {
		shift := map[byte]uint{'u': 6, 'g': 3, 'o': 0}[s.from]
		three := mode >> shift & 7
		bits = three<<6 | three<<3 | three
	}
	bits &= s.who
	switch s.op {
	case '+':
		return mode | bits
	case '-':
		return mode &^ bits
	}
	keep := uint32(0)
	if dir { // "=" keeps what a directory hands down, as chmod(1) does
		keep = mode & (setuid | setgid) &^ bits
	}
	return mode&^s.who | bits | keep&s.who
}

// parents is the mode of directories that are made on the way to the
// destination.
func (m Mode) parents() uint32 {
	if m.octal {
		return m.bits
	}
	return 0o755
}
