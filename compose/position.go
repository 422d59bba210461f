package compose

import (
	"fmt"
	"strings"
)

// Pos is a place in a project file. Line and Col count from 1; a zero Line
// means that the place is unknown (a value set by a default or a flag).
type Pos struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	Col  int    `json:"col,omitempty"`
}

// IsValid reports whether p names a line.
func (p Pos) IsValid() bool { return p.Line > 0 }

// String prints p as file:line:col, as compilers do.
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// Path names a value of the project by its keys from the top, joined with
// dots: Path("services", "web", "ports", "0").
func Path(keys ...string) string { return strings.Join(keys, ".") }

// Positions maps a value's Path to the place that set it.
type Positions map[string]Pos

// Find gives the place of path, or of its nearest ancestor that has one.
func (ps Positions) Find(path string) Pos {
	for {
		if p, ok := ps[path]; ok {
			return p
		}
		i := strings.LastIndexByte(path, '.')
		if i < 0 {
			return Pos{}
		}
		path = path[:i]
	}
}
