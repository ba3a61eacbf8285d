//! What Google and Microsoft presume: servers, endpoints, scopes, limits.
