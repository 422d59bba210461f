package notify

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"devstack/engine/watch"
)

// state is the index on disk, as it was committed: a snapshot followed by what
// was committed since.
//
//	magic, then blocks: length u32, crc32 u32, records
//	record: shared uvarint, rest uvarint, bytes     the path, from the last one's beginning
//	        kind byte, mode uvarint, [hash 16, stat u64 for files and symlinks]
//
// A block that is cut off or damaged ends the file: what follows comes again
// as changes. It is not synced to disk: after a crash of the machine that is
// all that happens.
type state struct {
	path string

	mu   sync.Mutex
	file *os.File // for appending; nil without a path, and after close
	size int64    // of what was appended
	base int64    // of the snapshot
	open map[uint64]reported
}

// reported is a batch that was given away and not committed.
type reported struct {
	records []record
	was     map[spot]entry
}

// record is a path with what is there; nothing if its kind is 0.
type record struct {
	path string
	entry
}

const (
	stateMagic = "devstack watch 1\n"
	blockSize  = 64 << 10
	rootKind   = watch.Kind(200) // of a record that names a root
)

// openState reads a state into the index: its roots are not fresh then. A
// file that cannot be read is as none.
func openState(path string, roots []*root) (*state, error) {
	s := &state{path: path, open: map[uint64]reported{}}
	if path == "" {
		return s, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("keep the state of watching: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("keep the state of watching: %w", err)
	}
	end, err := readState(f, func(r record) { restore(roots, r) })
	if err == nil {
		err = f.Truncate(end)
	}
	if err == nil {
		_, err = f.Seek(end, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("read the state of watching: %w", err)
	}
	s.file, s.base = f, end
	for _, r := range roots {
		// Within a root that was watched, but behind a link: it was not seen.
		r.fresh = r.fresh || !r.known && r.top.get("").kind == 0
	}
	return s, nil
}

// restore puts a record into the index of its root.
func restore(roots []*root, rec record) {
	for _, r := range roots {
		if rec.kind == rootKind {
			if strings.HasPrefix(r.Path+"/", strings.TrimSuffix(rec.path, "/")+"/") {
				r.fresh = false
				r.known = r.known || r.Path == rec.path
			}
			continue
		}
		rel, ok := watch.Below(r.Path, rec.path)
		if !ok {
			continue
		}
		if parent, name := r.parent(rel); parent != nil && (rel == "" || !r.skips(rel, rec.kind == watch.Dir)) {
			e := rec.entry
			e.name = name
			if parent.get(name).kind != e.kind {
				parent.drop(name)
			}
			switch e.kind {
			case 0:
			case watch.Dir:
				parent.addDir(name).mode = e.mode
			default:
				parent.setFile(e)
			}
		}
	}
}

// reported notes a batch that is given away.
func (s *state) reported(id uint64, records []record, was map[spot]entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.SortFunc(records, func(a, b record) int { return strings.Compare(a.path, b.path) })
	s.open[id] = reported{records, was}
}

// grown says whether more was appended than a snapshot would take.
func (s *state) grown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size > max(s.base, 1<<20)
}

func (s *state) forget(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, id)
}

// commit appends what a batch found.
func (s *state) commit(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.open[id]
	if !ok {
		return
	}
	delete(s.open, id)
	if s.file == nil {
		return
	}
	// A failure to write means that the changes come again: no harm.
	w := stateWriter{w: s.file}
	for _, r := range b.records {
		w.add(r)
	}
	w.flush()
	s.size += w.n
}

// save writes the snapshot anew: the index, with what was not reported or not
// committed as it was before.
func (s *state) save(roots []*root, unreported map[spot]entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return
	}
	was := maps.Clone(unreported)
	ids := slices.Sorted(maps.Keys(s.open))
	slices.Reverse(ids)
	for _, id := range ids {
		maps.Copy(was, s.open[id].was)
	}
	tmp, err := os.CreateTemp(filepath.Dir(s.path), filepath.Base(s.path)+".*")
	if err != nil {
		return
	}
	n, err := writeSnapshot(tmp, roots, was)
	if err == nil {
		err = os.Rename(tmp.Name(), s.path)
	}
	if err != nil {
		tmp.Close()
		os.Remove(tmp.Name())
		return
	}
	s.file.Close()
	s.file, s.base, s.size = tmp, n, 0
}

func writeSnapshot(f io.Writer, roots []*root, was map[spot]entry) (int64, error) {
	buf := bufio.NewWriterSize(f, blockSize)
	if _, err := buf.WriteString(stateMagic); err != nil {
		return 0, err
	}
	w := stateWriter{w: buf, n: int64(len(stateMagic))}
	for _, r := range roots {
		w.add(record{r.Path, entry{kind: rootKind}})
	}
	for _, r := range roots {
		r.top.walk("", func(rel string, e entry) bool {
			if old, ok := was[spot{r, rel}]; ok {
				e = old
			}
			w.add(record{r.shown(rel), e})
			return w.err == nil
		})
	}
	var gone []record
	for at, e := range was {
		if e.kind != 0 && at.root.get(at.rel).kind == 0 {
			gone = append(gone, record{at.root.shown(at.rel), e})
		}
	}
	slices.SortFunc(gone, func(a, b record) int { return strings.Compare(a.path, b.path) })
	for _, r := range gone {
		w.add(r)
	}
	w.flush()
	return w.n, errors.Join(w.err, buf.Flush())
}

// close ends the state; later commits are lost.
func (s *state) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}

// stateWriter writes records in blocks.
type stateWriter struct {
	w    io.Writer
	last string
	buf  []byte
	n    int64
	err  error
}

func (w *stateWriter) add(r record) {
	shared := 0
	for shared < len(r.path) && shared < len(w.last) && r.path[shared] == w.last[shared] {
		shared++
	}
	b := binary.AppendUvarint(w.buf, uint64(shared))
	b = binary.AppendUvarint(b, uint64(len(r.path)-shared))
	b = append(b, r.path[shared:]...)
	b = append(b, byte(r.kind))
	b = binary.AppendUvarint(b, uint64(r.mode))
	if r.kind == watch.File || r.kind == watch.Symlink {
		stat := r.stat
		if r.racy {
			stat = 0 // has to be read again
		}
		b = append(b, r.hash[:]...)
		b = binary.LittleEndian.AppendUint64(b, stat)
	}
	w.buf, w.last = b, r.path
	if len(w.buf) >= blockSize {
		w.flush()
	}
}

func (w *stateWriter) flush() {
	if len(w.buf) == 0 || w.err != nil {
		return
	}
	head := binary.LittleEndian.AppendUint32(nil, uint32(len(w.buf)))
	head = binary.LittleEndian.AppendUint32(head, crc32.ChecksumIEEE(w.buf))
	_, w.err = w.w.Write(append(head, w.buf...))
	w.n += int64(len(head) + len(w.buf))
	w.buf, w.last = w.buf[:0], ""
}

// readState reads all records and gives where the last good block ends.
func readState(f io.Reader, visit func(record)) (int64, error) {
	in := bufio.NewReaderSize(f, blockSize)
	magic := make([]byte, len(stateMagic))
	if _, err := io.ReadFull(in, magic); err != nil || string(magic) != stateMagic {
		return 0, nil
	}
	end := int64(len(magic))
	var head [8]byte
	for {
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return end, ignoreEOF(err)
		}
		n := binary.LittleEndian.Uint32(head[:])
		if n > 16<<20 {
			return end, nil
		}
		block := make([]byte, n)
		if _, err := io.ReadFull(in, block); err != nil {
			return end, ignoreEOF(err)
		}
		if crc32.ChecksumIEEE(block) != binary.LittleEndian.Uint32(head[4:]) || !readBlock(block, visit) {
			return end, nil
		}
		end += int64(len(head)) + int64(n)
	}
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// readBlock reads the records of a block, and says whether it could.
func readBlock(b []byte, visit func(record)) bool {
	number := func() (uint64, bool) {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return 0, false
		}
		b = b[n:]
		return v, true
	}
	last := ""
	for len(b) > 0 {
		shared, ok1 := number()
		rest, ok2 := number()
		if !ok1 || !ok2 || shared > uint64(len(last)) || rest >= uint64(len(b)) {
			return false
		}
		r := record{path: last[:shared] + string(b[:rest])}
		b = b[rest:]
		r.kind = watch.Kind(b[0])
		b = b[1:]
		mode, ok := number()
		if !ok {
			return false
		}
		r.mode = uint16(mode)
		if r.kind == watch.File || r.kind == watch.Symlink {
			if len(b) < 24 {
				return false
			}
			r.hash = digest(b[:16])
			r.stat = binary.LittleEndian.Uint64(b[16:])
			b = b[24:]
		}
		visit(r)
		last = r.path
	}
	return true
}
