package registry

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"devstack/engine/image"
)

// Options of a Client; the zero value is ready.
type Options struct {
	// Transport does the requests; nil is a plain one.
	Transport http.RoundTripper
	// Keychain finds credentials; nil reads DOCKER_CONFIG, its helpers and
	// REGISTRY_AUTH_FILE.
	Keychain authn.Keychain
	// Backoff is the first pause before a request is repeated; it doubles.
	// 0 is 200 ms.
	Backoff time.Duration
}

// Client holds connections and tokens. It is safe for concurrent use.
type Client struct {
	base     http.RoundTripper
	pool     *http.Transport // ours, nil if given
	keychain authn.Keychain
	retry    retrier

	mu    sync.Mutex
	repos map[string]*Repository
}

// New makes a client; Close frees its connections.
func New(o Options) *Client {
	c := &Client{base: o.Transport, keychain: o.Keychain, repos: map[string]*Repository{}}
	if c.base == nil {
		c.pool = &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 15 * time.Second}).DialContext,
			ForceAttemptHTTP2:     true,
			MaxIdleConnsPerHost:   8,
			IdleConnTimeout:       30 * time.Second,
			TLSHandshakeTimeout:   15 * time.Second,
			ResponseHeaderTimeout: 60 * time.Second,
			DisableCompression:    true, // digests are of the bytes as stored
			ReadBufferSize:        64 << 10,
		}
		c.base = c.pool
	}
	if c.keychain == nil {
		c.keychain = authn.DefaultKeychain
	}
	c.retry = retrier{next: c.base, first: o.Backoff}
	if c.retry.first == 0 {
		c.retry.first = 200 * time.Millisecond
	}
	return c
}

// Close closes idle connections.
func (c *Client) Close() {
	if c.pool != nil {
		c.pool.CloseIdleConnections()
	}
}

// Repository opens the repository of a reference for pulling.
func (c *Client) Repository(ctx context.Context, ref image.Reference) (*Repository, error) {
	key := ref.Repository()
	c.mu.Lock()
	r, ok := c.repos[key]
	c.mu.Unlock()
	if ok {
		return r, nil
	}
	r, err := c.handshake(ctx, ref)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.repos[key] = r
	c.mu.Unlock()
	return r, nil
}

func (c *Client) handshake(ctx context.Context, ref image.Reference) (*Repository, error) {
	repo, err := name.NewRepository(ref.Repository(), name.WeakValidation)
	if err != nil {
		return nil, err
	}
	auth, err := authn.Resolve(ctx, c.keychain, repo)
	if err != nil {
		return nil, &CredentialsError{Registry: ref.Domain, Err: err}
	}
	rt, err := transport.NewWithContext(ctx, repo.Registry, auth, c.retry, []string{repo.Scope(transport.PullScope)})
	if err != nil {
		return nil, err
	}
	return &Repository{
		client: &http.Client{Transport: rt}, host: repo.RegistryStr(), path: repo.RepositoryStr(),
		scheme: repo.Scheme(), first: c.retry.first,
	}, nil
}
