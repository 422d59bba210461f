package source

import (
	"fmt"
	"io"
	"os"
)

// HostFile reads a file of the host that a build was given by its path: a
// secret, a Dockerfile beside the context. It waits for no pipe and reads no
// device, and never more than limit bytes.
func HostFile(name string, limit int64) ([]byte, error) {
	st, err := os.Stat(name) // to open a pipe would wait for who writes
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, limit)
	}
	return data, nil
}
