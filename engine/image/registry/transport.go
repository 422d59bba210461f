package registry

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"devstack/engine/image/registry/credentials"

	"golang.org/x/net/http/httpproxy"
)

// newTransport makes the transport of a client's environment.
func newTransport(getenv func(string) string) *http.Transport {
	proxy := proxyOf(getenv)
	return &http.Transport{
		Proxy:               func(r *http.Request) (*url.URL, error) { return proxy(r.URL) },
		DialContext:         (&net.Dialer{Timeout: 15 * time.Second}).DialContext,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 8,
		IdleConnTimeout:     30 * time.Second,
		TLSHandshakeTimeout: 15 * time.Second,
		DisableCompression:  true, // digests are of the bytes as stored
		ReadBufferSize:      64 << 10,
		WriteBufferSize:     64 << 10,
	}
}

// HTTPClient is for downloads from other places than registries: with the
// proxies of an environment, and the certificates that it has for a host. As
// with registries, credentials are for that host alone.
func HTTPClient(environ []string, host string) (*http.Client, error) {
	getenv := credentials.New(environ).Getenv
	t := newTransport(getenv)
	t.ResponseHeaderTimeout = time.Minute
	var err error
	t.TLSClientConfig, err = tlsConfig(getenv, host, false)
	return &http.Client{Transport: t, CheckRedirect: redirect}, err
}

func proxyOf(getenv func(string) string) func(*url.URL) (*url.URL, error) {
	either := func(upper string) string {
		if v := getenv(upper); v != "" {
			return v
		}
		return getenv(strings.ToLower(upper))
	}
	c := httpproxy.Config{HTTPProxy: either("HTTP_PROXY"), HTTPSProxy: either("HTTPS_PROXY"), NoProxy: either("NO_PROXY")}
	return c.ProxyFunc()
}

// tlsConfig is what certs.d and SSL_CERT_FILE say about a host; nil if nothing.
func tlsConfig(getenv func(string) string, host string, insecure bool) (*tls.Config, error) {
	var cas []string
	if f := getenv("SSL_CERT_FILE"); f != "" {
		cas = append(cas, f)
	}
	for _, dir := range filepath.SplitList(getenv("SSL_CERT_DIR")) {
		names, _ := filepath.Glob(filepath.Join(dir, "*"))
		cas = append(cas, names...)
	}
	var certs []tls.Certificate
	for _, dir := range certDirs(getenv, host) {
		crts, _ := filepath.Glob(filepath.Join(dir, "*.crt"))
		cas = append(cas, crts...)
		pairs, _ := filepath.Glob(filepath.Join(dir, "*.cert"))
		for _, cert := range pairs {
			pair, err := tls.LoadX509KeyPair(cert, strings.TrimSuffix(cert, ".cert")+".key")
			if err != nil {
				return nil, fmt.Errorf("read client certificate %s: %w", cert, err)
			}
			certs = append(certs, pair)
		}
	}
	if len(cas) == 0 && len(certs) == 0 && !insecure {
		return nil, nil
	}
	c := &tls.Config{Certificates: certs, InsecureSkipVerify: insecure}
	if len(cas) == 0 {
		return c, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	for _, name := range cas {
		pem, err := os.ReadFile(name)
		if err != nil && strings.HasSuffix(name, ".crt") {
			return nil, fmt.Errorf("read certificate: %w", err)
		}
		pool.AppendCertsFromPEM(pem) // what is none, others may have put there
	}
	c.RootCAs = pool
	return c, nil
}

// certDirs are the places of containers-certs.d(5) and Docker's.
func certDirs(getenv func(string) string, host string) []string {
	dirs := []string{"/etc/containers/certs.d", "/etc/docker/certs.d"}
	if home := getenv("HOME"); home != "" {
		dirs = append(dirs, filepath.Join(home, ".config/containers/certs.d"), filepath.Join(home, ".config/docker/certs.d"))
	}
	for i := range dirs {
		dirs[i] = filepath.Join(dirs[i], host)
	}
	return dirs
}

// loopback hosts may speak plain HTTP without being asked to, as for Docker.
func loopback(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.Trim(name, "[]")
	ip := net.ParseIP(name)
	return name == "localhost" || ip != nil && ip.IsLoopback()
}
