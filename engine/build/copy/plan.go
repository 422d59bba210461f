package copy

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"io"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"

	"devstack/engine/build/ignore"
	"devstack/engine/build/source"
)

// Ops are planned copies, in order.
type Ops struct {
	dest  destination
	moves []move
}

// move is one source, or one match of it, with everything that it copies.
type move struct {
	tree   *source.Tree
	entry  *source.Entry
	label  string // what errors call it
	name   string // what a file is called in a destination that is a directory
	items  []item // what a directory brings, parents before children
	unpack bool
	data   []byte // a here-document; tree is nil
}

type item struct {
	rel     string // from the directory
	entry   *source.Entry
	implied bool // a directory that did not match but holds what did
}

// Empty says whether nothing will be copied: no wildcard matched.
func (o Ops) Empty() bool { return len(o.moves) == 0 }

// Files counts what will be copied.
func (o Ops) Files() int {
	n := 0
	for _, m := range o.moves {
		n += 1 + len(m.items)
	}
	return n
}

// planner carries what all sources of an instruction share.
type planner struct {
	ctx     context.Context
	args    Args
	dest    destination
	exclude *ignore.Matcher
}

// Plan finds what the sources mean and hashes it. The key covers the content
// and names of everything that is copied and the arguments; not the Options,
// nor what the destination holds.
func Plan(ctx context.Context, a Args) (Ops, digest.Digest, error) {
	p := planner{ctx: ctx, args: a}
	var err error
	if p.dest, err = a.destination(); err != nil {
		return Ops{}, "", err
	}
	if len(a.Sources) == 0 {
		return Ops{}, "", fault("sources", "there are none")
	}
	if len(a.Sources) > 1 && !p.dest.dir {
		return Ops{}, "", fault("destination "+a.Dest, "must be a directory and end with \"/\" when there are %d sources", len(a.Sources))
	}
	if p.exclude, err = ignore.New(a.Exclude); err != nil {
		return Ops{}, "", &Error{What: "--exclude", Err: err}
	}
	ops := Ops{dest: p.dest}
	for _, s := range a.Sources {
		moves, err := p.source(s)
		if err != nil {
			return Ops{}, "", err
		}
		ops.moves = append(ops.moves, moves...)
	}
	for i := range ops.moves {
		if err := refuseSpecial(&ops.moves[i]); err != nil {
			return Ops{}, "", err
		}
	}
	key, err := ops.key(ctx)
	return ops, key, err
}

func (p *planner) source(s Source) ([]move, error) {
	switch {
	case s.Tree == nil:
		if s.Name == "" || s.Name == "." || s.Name == ".." || strings.ContainsAny(s.Name, "/\x00") {
			return nil, fault("here-document "+s.Name, "is not named as a file")
		}
		return []move{{label: "<<" + s.Name, name: s.Name, data: s.Data}}, nil
	case strings.ContainsRune(s.Path, 0):
		return nil, fault("source", "has a zero byte")
	case s.Remote:
		return p.remote(s)
	case p.args.Parents:
		return p.parents(s)
	}
	return p.plain(s)
}

// remote is a git tree, whose content is copied, or the one file of a URL.
func (p *planner) remote(s Source) ([]move, error) {
	root := s.Tree.Root()
	children, err := s.Tree.Children(root)
	if err != nil {
		return nil, err
	}
	if name := s.Tree.Single(); name != "" {
		if len(children) != 1 || children[0].Type != source.TypeFile {
			return nil, fault(s.Tree.Name(), "is not one file")
		}
		m := move{tree: s.Tree, entry: children[0], label: s.Tree.Name(), name: name, unpack: p.args.Unpack}
		if name == source.Unnamed && p.dest.dir && !p.args.Unpack {
			return nil, fault(s.Tree.Name(), "has no name for a file in its path: give the destination one instead of %q", p.args.Dest)
		}
		return []move{m}, nil
	}
	m := move{tree: s.Tree, entry: root, label: s.Tree.Name()}
	m.items, err = p.list(m, nil)
	return []move{m}, err
}

func (p *planner) plain(s Source) ([]move, error) {
	matches, err := glob(p.ctx, s.Tree, s.Path)
	if err != nil {
		return nil, err
	}
	var moves []move
	for _, found := range matches {
		m := move{tree: s.Tree, entry: found.entry, label: found.path, name: path.Base("/" + found.path), unpack: p.args.Unpack}
		if found.entry.Type != source.TypeDir {
			out, err := p.excludes(found.path)
			if err != nil {
				return nil, err
			}
			if !out {
				moves = append(moves, m)
			}
			continue
		}
		m.unpack = false
		if m.items, err = p.list(m, nil); err != nil {
			return nil, err
		}
		moves = append(moves, m)
	}
	return moves, nil
}

// excludes says whether a file that a source names itself is excluded: by its
// name or by its path.
func (p *planner) excludes(name string) (bool, error) {
	out, err := p.exclude.Ignores(path.Base(name))
	if err != nil || out {
		return out, err
	}
	return p.exclude.Ignores(name)
}

// parents is --parents: the source is a pattern beneath the root of the tree,
// or beneath what stands before a "/./", and keeps its directories.
func (p *planner) parents(s Source) ([]move, error) {
	base, pattern, pivot := strings.Cut(s.Path, "/./")
	if !pivot {
		base, pattern = "/", s.Path
	}
	pattern = strings.TrimPrefix(path.Clean("/"+pattern), "/")
	var only *ignore.Matcher
	if pattern != "" {
		var err error
		if only, err = ignore.New([]string{escapeException(pattern)}); err != nil {
			return nil, &Error{What: s.Path, Err: err}
		}
	}
	bases, err := glob(p.ctx, s.Tree, base)
	if err != nil {
		return nil, err
	}
	var moves []move
	found := false
	for _, b := range bases {
		if b.entry.Type != source.TypeDir {
			continue
		}
		m := move{tree: s.Tree, entry: b.entry, label: s.Path}
		if m.items, err = p.list(m, only); err != nil {
			return nil, err
		}
		found = found || len(m.items) > 0 || only == nil
		moves = append(moves, m)
	}
	if !found && !isWild(base) && !isWild(pattern) {
		if err := throughLink(s, base, unescape(pattern)); err != nil {
			return nil, err
		}
	}
	return moves, nil
}

// throughLink tells why nothing was found: it is not there, or the way to it,
// which --parents would make, leads through a link. Else all was excluded.
func throughLink(s Source, base, name string) error {
	if _, err := s.Tree.Resolve(path.Join("/", base, name)); err != nil {
		return named(err, s.Path)
	}
	top, err := s.Tree.Resolve(base)
	if err != nil {
		return named(err, s.Path)
	}
	dir, err := s.Tree.Resolve(path.Join("/", base, path.Dir(name)))
	if err != nil {
		return named(err, s.Path)
	}
	if want := path.Join(top.Path, path.Dir(name)); strings.TrimPrefix(want, ".") != dir.Path {
		return &Error{What: s.Path, Why: "leads through a link to " + dir.Path + ", which --parents does not follow"}
	}
	return nil
}

// escapeException keeps a leading "!" of a file name from being an operator.
func escapeException(pattern string) string {
	if strings.HasPrefix(pattern, "!") {
		return `\` + pattern
	}
	return pattern
}

// list gathers what a directory brings: what only matches, if it is not nil,
// without what is excluded.
func (p *planner) list(m move, only *ignore.Matcher) ([]item, error) {
	l := lister{p: p, tree: m.tree, only: only}
	return l.items, l.walk(m.entry, "", scope{in: only == nil})
}

type lister struct {
	p     *planner
	tree  *source.Tree
	only  *ignore.Matcher
	items []item
}

// scope is what a directory hands down to its entries.
type scope struct {
	in      bool // --parents matched it or there is none
	out     bool // --exclude matched it
	only    ignore.State
	exclude ignore.State
}

func (l *lister) walk(dir *source.Entry, rel string, in scope) error {
	if err := l.p.ctx.Err(); err != nil {
		return err
	}
	children, err := l.tree.Children(dir)
	if err != nil {
		return err
	}
	for _, c := range children {
		if err := l.visit(c, path.Join(rel, c.Name), in); err != nil {
			return err
		}
	}
	return nil
}

func (l *lister) visit(c *source.Entry, rel string, in scope) (err error) {
	own := scope{in: true}
	if l.only != nil {
		if own.in, own.only, err = l.only.Match(rel, in.only); err != nil {
			return err
		}
	}
	if own.out, own.exclude, err = l.p.exclude.Match(rel, in.exclude); err != nil {
		return err
	}
	take := own.in && !own.out
	if c.Type != source.TypeDir {
		if take {
			l.items = append(l.items, item{rel: rel, entry: c})
		}
		return nil
	}
	if own.out && !l.p.exclude.MayHold(rel) {
		return nil
	}
	at := len(l.items)
	l.items = append(l.items, item{rel: rel, entry: c, implied: !take})
	if err := l.walk(c, rel, own); err != nil {
		return err
	}
	if !take && len(l.items) == at+1 {
		l.items = l.items[:at] // it holds nothing that is wanted
	}
	return nil
}

// refuseSpecial keeps devices of a context out: in a developer's directory
// they are an accident or an attack.
func refuseSpecial(m *move) error {
	if m.tree == nil || m.tree.Owned() {
		return nil
	}
	check := func(e *source.Entry) error {
		switch e.Type {
		case source.TypeFile, source.TypeDir, source.TypeLink, source.TypeFifo:
			return nil
		}
		return &source.RefusedError{
			Tree: m.tree.Name(), Path: e.Path,
			Reason: "is a " + e.Type.String() + ", which a build cannot copy (exclude it in " + ignore.FileName + ")",
		}
	}
	if err := check(m.entry); err != nil {
		return err
	}
	for _, it := range m.items {
		if err := check(it.entry); err != nil {
			return err
		}
	}
	return nil
}

// key hashes what the Ops copy and where to.
func (o Ops) key(ctx context.Context) (digest.Digest, error) {
	h := sha256.New()
	text(h, "copy 1")
	text(h, o.dest.path)
	number(h, flag(o.dest.dir))
	for _, m := range o.moves {
		if err := m.key(ctx, h); err != nil {
			return "", err
		}
	}
	return digest.NewDigest(digest.SHA256, h), nil
}

func (m *move) key(ctx context.Context, h hash.Hash) error {
	if m.tree == nil {
		text(h, "data")
		text(h, m.name)
		text(h, string(m.data))
		return nil
	}
	entries := make([]*source.Entry, 0, len(m.items)+1)
	if m.entry.Type != source.TypeDir {
		entries = append(entries, m.entry)
	}
	for _, it := range m.items {
		entries = append(entries, it.entry)
	}
	if err := m.tree.Hash(ctx, entries); err != nil {
		return err
	}
	number(h, uint64(len(m.items)))
	number(h, flag(m.unpack))
	number(h, flag(m.tree.Owned()))
	if m.entry.Type != source.TypeDir {
		text(h, "file")
		text(h, m.name)
		d := m.entry.Digest()
		h.Write(d[:])
		return nil
	}
	text(h, "directory") // neither its name nor its mode is copied
	first := map[[2]uint64]int{}
	for i, it := range m.items {
		text(h, it.rel)
		number(h, flag(it.implied))
		d := it.entry.Digest()
		h.Write(d[:])
		if it.entry.Type == source.TypeFile && it.entry.Stat.Links > 1 {
			id := [2]uint64{it.entry.Stat.Dev, it.entry.Stat.Ino}
			if of, ok := first[id]; ok {
				number(h, uint64(of)+1)
			} else {
				first[id] = i
			}
		}
	}
	return nil
}

func text(h hash.Hash, s string) {
	number(h, uint64(len(s)))
	io.WriteString(h, s)
}

func number(h hash.Hash, n uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], n)
	h.Write(b[:])
}

func flag(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
