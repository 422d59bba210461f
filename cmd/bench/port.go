package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

const (
	servePort     = 7000
	publishedPort = 17000

	downloadSize = 1 << 30 // bytes of one download
	downloads    = 5
	echoes       = 400 // connections of one round
	echoRounds   = 5
)

// The network service reads one byte that says what a connection is for.
const (
	askAddress  = 'a' // it answers with the address it was reached at
	askDownload = 'd' // 8 bytes of size follow; it sends as many
	askEcho     = 'e' // it sends back what follows
)

// serve is the role "serve": the network service inside the container.
func serve(args []string) error {
	if len(args) != 0 {
		return errors.New("serve takes no arguments")
	}
	l, err := net.Listen("tcp", fmt.Sprintf(":%d", servePort))
	if err != nil {
		return err
	}
	return serveOn(l)
}

func serveOn(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			answer(c) // a client that is gone is nothing to report
		}()
	}
}

func answer(c net.Conn) error {
	var what [1]byte
	if _, err := io.ReadFull(c, what[:]); err != nil {
		return err
	}
	switch what[0] {
	case askAddress:
		_, err := io.WriteString(c, c.LocalAddr().String())
		return err
	case askEcho:
		_, err := io.Copy(c, c)
		return err
	case askDownload:
		var size int64
		if err := binary.Read(c, binary.BigEndian, &size); err != nil {
			return err
		}
		buf := make([]byte, 256<<10)
		for size > 0 {
			n, err := c.Write(buf[:min(size, int64(len(buf)))])
			if err != nil {
				return err
			}
			size -= int64(n)
		}
	}
	return nil
}

// ports compares a published port with the container's own address.
func (b *bench) ports(t tool, image string) {
	if !b.wanted(t, "published port") {
		return
	}
	err := func() error {
		folder, err := writeProject(b.dir, "port", portProject(image))
		if err != nil {
			return err
		}
		if _, err := t.run(folder, "up", "-d"); err != nil {
			return err
		}
		defer t.run(folder, "down")
		return b.comparePorts(t)
	}()
	if err != nil {
		b.report.fail(t.name, "published port", err)
	}
}

func (b *bench) comparePorts(t tool) error {
	published := fmt.Sprintf("127.0.0.1:%d", publishedPort)
	direct, err := containerAddress(published)
	if err != nil {
		return err
	}
	var rates, latencies [2][]float64
	for range downloads {
		for i, addr := range []string{direct, published} {
			rate, err := download(addr, downloadSize)
			if err != nil {
				return err
			}
			rates[i] = append(rates[i], rate)
		}
	}
	for range echoRounds {
		for i, addr := range []string{direct, published} {
			took, err := echoRound(addr, echoes)
			if err != nil {
				return err
			}
			latencies[i] = append(latencies[i], took)
		}
	}
	const gib = 1 << 30
	direct1, published1 := median(rates[0]), median(rates[1])
	b.report.atLeast(t.name, "published port, throughput", "of direct", published1/direct1, 0.9,
		fmt.Sprintf("%.2f of %.2f GiB/s", published1/gib, direct1/gib))
	direct2, published2 := median(latencies[0]), median(latencies[1])
	b.report.value(t.name, "published port, connect + echo", "of direct", published2/direct2, 1.5,
		fmt.Sprintf("%.0f of %.0f µs", published2*1e6, direct2*1e6))
	return nil
}

// containerAddress asks the service behind addr for its own address. It may
// not listen yet: then the connection is refused or closed, and tried again.
func containerAddress(addr string) (string, error) {
	var last error
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			last = err
			continue
		}
		c.SetDeadline(deadline)
		c.Write([]byte{askAddress})
		text, err := io.ReadAll(c)
		c.Close()
		if err == nil && len(text) > 0 {
			return string(text), nil
		}
		last = fmt.Errorf("ask %s for its address: got %q, %w", addr, text, err)
	}
	return "", last
}

// download gives the rate of one download in bytes a second.
func download(addr string, size int64) (float64, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	began := time.Now()
	ask := binary.BigEndian.AppendUint64([]byte{askDownload}, uint64(size))
	if _, err := c.Write(ask); err != nil {
		return 0, err
	}
	buf := make([]byte, 256<<10)
	for got := int64(0); got < size; {
		n, err := c.Read(buf)
		if got += int64(n); err != nil && got < size {
			return 0, fmt.Errorf("download from %s: after %d bytes: %w", addr, got, err)
		}
	}
	return float64(size) / time.Since(began).Seconds(), nil
}

// echoRound gives the mean time, in seconds, of connecting, sending a little,
// having it back and closing.
func echoRound(addr string, n int) (float64, error) {
	message := []byte{askEcho, 'h', 'e', 'l', 'l', 'o'}
	began := time.Now()
	for range n {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return 0, err
		}
		if _, err := c.Write(message); err != nil {
			return 0, err
		}
		var back [5]byte
		if _, err := io.ReadFull(c, back[:]); err != nil {
			return 0, fmt.Errorf("echo from %s: %w", addr, err)
		}
		c.Close()
	}
	return time.Since(began).Seconds() / float64(n), nil
}
