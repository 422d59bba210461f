package archive

import "fmt"

// Source is what shall be copied.
type Source struct {
	Base     string // its name
	Dir      bool
	Contents bool // only what is in the directory: it was written as "dir/."
}

// Target is what is at the path to copy to, links followed.
type Target struct {
	Path        string // for messages
	Base        string // its name in its directory
	Exists, Dir bool
	Slash       bool // it was written as a directory: "dir/"
}

// Place decides, by the rules of `docker cp`, what the source becomes: with
// inside an entry of the target, called name, else the target itself, an entry
// of its directory. The name "." stands for the directory itself.
func Place(s Source, t Target) (inside bool, name string, err error) {
	switch {
	case t.Dir && s.Contents:
		return true, ".", nil
	case t.Dir:
		return true, s.Base, nil
	case t.Exists && s.Dir:
		return false, "", fmt.Errorf("cannot copy a directory to %s: it is a file", t.Path)
	case t.Slash && t.Exists:
		return false, "", fmt.Errorf("%s is not a directory", t.Path)
	case t.Slash && !s.Dir:
		return false, "", fmt.Errorf("no such directory: %s", t.Path)
	}
	return false, t.Base, nil
}
