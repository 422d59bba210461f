package main

import (
	"io"
	"sync"

	"devstack/cmd/devstack/render"
)

// onceDisplay is a display that may be closed more than once.
type onceDisplay struct {
	render.Display
	once sync.Once
}

func closeOnce(p render.Display) render.Display { return &onceDisplay{Display: p} }

func (p *onceDisplay) Close() { p.once.Do(p.Display.Close) }

// closer is what afterClose needs of a progress display.
type closer interface{ Close() }

// afterClose closes the display before the first byte of w: a live tree and a
// container's output do not share the screen.
func afterClose(c closer, w io.Writer) io.Writer { return &lateWriter{c: c, w: w} }

type lateWriter struct {
	c closer
	w io.Writer
}

func (l *lateWriter) Write(p []byte) (int, error) {
	l.c.Close()
	return l.w.Write(p)
}

// Fd makes a terminal behind w visible as one.
func (l *lateWriter) Fd() uintptr { return fdOf(l.w) }
