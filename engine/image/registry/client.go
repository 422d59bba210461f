package registry

import (
	"context"
	"errors"
	"net/http"
	"os"
	"sync"
	"time"

	"devstack/engine/image"
	"devstack/engine/image/registry/credentials"
	"devstack/engine/image/registry/routes"
)

// Options of a Client; the zero value is ready.
type Options struct {
	// Environ leads to credentials, registries.conf, certificates and
	// proxies; nil is that of the process.
	Environ []string
	// Transport does the requests; nil is one that obeys Environ.
	Transport http.RoundTripper
	// Backoff is the first pause before a request is repeated; it doubles.
	// 0 is 200 ms.
	Backoff time.Duration
	// Auth are credentials to use instead of those of Environ.
	Auth *credentials.Auth
}

// Client holds connections and tokens. It is cheap to make: files are read
// when the first repository is opened. It is safe for concurrent use.
type Client struct {
	o     Options
	store *credentials.Store

	mu     sync.Mutex
	routes *routes.Config
	pools  []*http.Transport // to be closed
	hosts  map[hostKey]*host
	repos  map[repoKey]*Repository
}

type repoKey struct {
	name  string
	short bool
}

type hostKey struct {
	name     string
	insecure bool
}

// hubAddr is where Docker Hub's registry is.
const hubAddr = "registry-1.docker.io"

// New makes a client; Close frees its connections.
func New(o Options) *Client {
	if o.Environ == nil {
		o.Environ = os.Environ()
	}
	if o.Backoff == 0 {
		o.Backoff = 200 * time.Millisecond
	}
	return &Client{o: o, store: credentials.New(o.Environ), hosts: map[hostKey]*host{}, repos: map[repoKey]*Repository{}}
}

// Close closes idle connections.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.pools {
		p.CloseIdleConnections()
	}
}

// Getenv looks into the environment that the client was made for.
func (c *Client) Getenv(name string) string { return c.store.Getenv(name) }

// Repository opens the repository of a reference for pulling. It reads
// configuration but does not ask the registry yet.
func (c *Client) Repository(_ context.Context, ref image.Reference) (*Repository, error) {
	return c.repository(ref, false)
}

// Short opens what a reference without a registry stands for: registries.conf
// may have an alias for it, or registries in which it is looked for.
func (c *Client) Short(_ context.Context, ref image.Reference) (*Repository, error) {
	return c.repository(ref, true)
}

func (c *Client) repository(ref image.Reference, short bool) (*Repository, error) {
	key := repoKey{ref.Repository(), short}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r, ok := c.repos[key]; ok {
		return r, nil
	}
	places, err := c.places(ref, short)
	if err != nil {
		return nil, err
	}
	r := &Repository{}
	for _, p := range places {
		h, err := c.host(p.Host, p.Insecure)
		if err != nil {
			return nil, err
		}
		r.endpoints = append(r.endpoints, &endpoint{Endpoint: p, host: h, first: c.o.Backoff})
	}
	c.repos[key] = r
	return r, nil
}

// places are the endpoints for everything that a reference may mean.
func (c *Client) places(ref image.Reference, short bool) ([]routes.Endpoint, error) {
	if c.routes == nil {
		conf, err := routes.Load(c.store.Getenv)
		if err != nil {
			return nil, err
		}
		c.routes = conf
	}
	names := []string{ref.Repository()}
	if short {
		var err error
		if names, err = c.routes.Short(ref.Path); err != nil {
			return nil, err
		}
	}
	var out []routes.Endpoint
	for _, name := range names {
		places, err := c.routes.Route(name)
		if err != nil {
			return nil, err
		}
		out = append(out, places...)
	}
	return out, nil
}

// host is the registry called name, known or not.
func (c *Client) host(name string, insecure bool) (*host, error) {
	key := hostKey{name, insecure}
	if h := c.hosts[key]; h != nil {
		return h, nil
	}
	h := &host{name: name, addr: name, insecure: insecure, find: c.credentials}
	if name == "docker.io" || name == "index.docker.io" {
		h.name, h.addr = "docker.io", hubAddr
	}
	base := c.o.Transport
	if base == nil {
		t := newTransport(c.store.Getenv)
		var err error
		if t.TLSClientConfig, err = tlsConfig(c.store.Getenv, name, insecure); err != nil {
			return nil, err
		}
		c.pools = append(c.pools, t)
		base = t
	}
	h.client = &http.Client{Transport: retrier{next: base, first: c.o.Backoff}, CheckRedirect: redirect}
	c.hosts[key] = h
	return h, nil
}

// redirect lets a server send us elsewhere, to a store of blobs perhaps, but
// not the credentials: net/http would pass them on to other ports and
// subdomains, and from TLS to none.
func redirect(req *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("server redirects in circles")
	}
	if first := via[0].URL; req.URL.Host != first.Host || first.Scheme == "https" && req.URL.Scheme != first.Scheme {
		req.Header.Del("Authorization")
	}
	return nil
}

func (c *Client) credentials(ctx context.Context, registry, path string) (credentials.Auth, error) {
	if c.o.Auth != nil {
		return *c.o.Auth, nil
	}
	return c.store.Find(ctx, registry, path)
}
