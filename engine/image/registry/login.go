package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"devstack/engine/image"
)

// Login says whether a registry accepts the client's credentials.
func (c *Client) Login(ctx context.Context, server string) error {
	err := c.login(ctx, server)
	e := &image.Error{Ref: server, Err: err}
	switch status := (*StatusError)(nil); {
	case err == nil:
		return nil
	case errors.As(err, &status) && (status.Status == http.StatusUnauthorized || status.Status == http.StatusForbidden):
		err = fmt.Errorf("registry %s does not accept the username or the password", server)
	case explainConnection(e, server, err):
		err = e.Err
	}
	err = fmt.Errorf("log in to %s: %w", server, err)
	if e.Hint != "" {
		err = fmt.Errorf("%w\nhint: %s", err, e.Hint)
	}
	return err
}

func (c *Client) login(ctx context.Context, server string) error {
	ref, err := image.ParseReference(server + "/login")
	if err != nil {
		return fmt.Errorf("%q is not the name of a registry", server)
	}
	ref.Domain, ref.Path = server, ""
	c.mu.Lock()
	places, err := c.places(ref, false)
	var h *host
	if err == nil {
		h, err = c.host(server, places[len(places)-1].Insecure)
	}
	c.mu.Unlock()
	if err != nil {
		return err
	}
	s, err := h.session(ctx, "")
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.scheme+"://"+s.addr+"/v2/", nil)
	if err != nil {
		return err
	}
	resp, err := s.do(req)
	if err != nil {
		return err
	}
	defer drain(resp)
	return check(resp, http.StatusOK)
}
