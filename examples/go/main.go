package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"
)

var (
	issuer   = cmp.Or(os.Getenv("ISSUER"), "http://localhost:9000")
	audience = cmp.Or(os.Getenv("AUDIENCE"), "http://localhost:8080")
	scope    = cmp.Or(os.Getenv("SCOPE"), "ocr_api_access")
	port     = cmp.Or(os.Getenv("PORT"), "8090")
)

type claims struct {
	jwt.RegisteredClaims
	ClientID string `json:"client_id"`
	Scope    string `json:"scope"`
	Cnf      any    `json:"cnf"`
}

// verify gives the claims of a good access token, or the status that refuses it.
func verify(raw string, parser *jwt.Parser, keys jwt.Keyfunc) (*claims, int) {
	var c claims
	token, err := parser.ParseWithClaims(raw, &c, keys)
	if err != nil {
		return nil, http.StatusUnauthorized
	}
	typ, _ := token.Header["typ"].(string)
	isAccessToken := strings.EqualFold(typ, "at+jwt") || strings.EqualFold(typ, "application/at+jwt")
	kid, _ := token.Header["kid"].(string)
	isComplete := kid != "" && c.Subject != "" && c.ClientID != "" && c.ID != "" && c.IssuedAt != nil
	// A token that is bound to its sender is no good as a bearer token.
	if !isAccessToken || !isComplete || c.Cnf != nil {
		return nil, http.StatusUnauthorized
	}
	if !slices.Contains(strings.Fields(c.Scope), scope) {
		return nil, http.StatusForbidden
	}
	return &c, http.StatusOK
}

func main() {
	// Fetches the keys in the background, and never for a kid that it does not know: whoever invents kids causes no fetch.
	keys, err := keyfunc.NewDefaultOverrideCtx(context.Background(), []string{issuer + "/jwks"}, keyfunc.Override{
		RefreshInterval:   time.Minute,
		RefreshUnknownKID: rate.NewLimiter(0, 0),
		HTTPTimeout:       5 * time.Second,
	})
	if err != nil {
		log.Fatal(err)
	}
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{"RS256"}),
		jwt.WithIssuer(issuer),
		jwt.WithAudience(audience),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithLeeway(30*time.Second),
	)
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		scheme, raw, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "bearer") {
			raw = ""
		}
		c, status := verify(strings.TrimLeft(raw, " "), parser, keys.Keyfunc)
		if status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		w.WriteHeader(status)
		if status == http.StatusOK {
			fmt.Fprintf(w, "hello %s\n", c.Subject)
		}
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+port, nil))
}
