package notify_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"devstack/engine/watch/notify"
)

// BenchmarkSave is from the write of a file to its batch.
func BenchmarkSave(b *testing.B) {
	dir := memory(b)
	tree(b, dir, 1000, "x")
	for _, how := range []string{"write", "rename"} {
		b.Run(how, func(b *testing.B) {
			w := open(b, notify.Options{Roots: roots(dir)})
			var all []time.Duration
			for i := 0; b.Loop(); i++ {
				path := dir + "/file"
				if how == "rename" {
					path = dir + "/.file"
				}
				begin := time.Now()
				must(b, os.WriteFile(path, fmt.Append(nil, i), 0o644))
				if how == "rename" {
					must(b, os.Rename(path, dir+"/file"))
				}
				batch, _ := next(b, w)
				all = append(all, time.Since(begin))
				w.Commit(batch)
			}
			slices.Sort(all)
			b.ReportMetric(float64(all[len(all)/2].Microseconds()), "median-µs")
			b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
		})
	}
}

// rss is what the process has in memory, in bytes.
func rss(tb testing.TB) int64 {
	text, err := os.ReadFile("/proc/self/statm")
	must(tb, err)
	var size, resident int64
	_, err = fmt.Sscan(string(text), &size, &resident)
	must(tb, err)
	return resident * int64(os.Getpagesize())
}

// used is the processor time of the next 100 ms.
func used(tb testing.TB) time.Duration {
	var before, after syscall.Rusage
	must(tb, syscall.Getrusage(syscall.RUSAGE_SELF, &before))
	<-time.NewTimer(100 * time.Millisecond).C
	must(tb, syscall.Getrusage(syscall.RUSAGE_SELF, &after))
	return time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
}

// BenchmarkTree watches 50,000 files in 2,500 directories.
func BenchmarkTree(b *testing.B) {
	dir := b.TempDir()
	for i := range 50_000 {
		write(b, fmt.Sprintf("%s/package%d/directory%d/source_file_%d.txt", dir, i%50, i%2500, i), strings.Repeat(fmt.Sprint(i), 200))
	}
	state := filepath.Join(b.TempDir(), "state")
	for _, how := range []string{"first", "again"} {
		b.Run(how, func(b *testing.B) {
			for b.Loop() {
				if how == "first" {
					os.Remove(state)
				}
				debug.FreeOSMemory()
				before := rss(b)
				begin := time.Now()
				w := open(b, notify.Options{Roots: roots(dir), State: state})
				start := time.Since(begin)
				peak := rss(b) - before
				write(b, dir+"/mark", fmt.Sprint(begin))
				batch, _ := next(b, w)
				w.Commit(batch)
				runtime.GC()
				hashing := time.Now()
				idle := used(b)
				for idle > time.Millisecond { // files are read in the background
					idle = used(b)
				}
				b.ReportMetric(float64(time.Since(hashing).Milliseconds())-100, "settled-ms")
				b.ReportMetric(float64(idle.Microseconds())/100, "idle-µs/ms")
				debug.FreeOSMemory()
				b.ReportMetric(float64(start.Milliseconds()), "start-ms")
				b.ReportMetric(float64(peak)/(1<<20), "rss-at-start-MiB")
				b.ReportMetric(float64(rss(b)-before)/(1<<20), "rss-MiB")
				must(b, w.Close())
			}
		})
	}
	info, err := os.Stat(state)
	must(b, err)
	b.ReportMetric(float64(info.Size())/(1<<20), "state-MiB")
}
