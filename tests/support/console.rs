//! A browser in the console.

use super::{
    House,
    browser::{Page, ask},
};

/// A browser that has logged in.
pub struct Browser {
    pub base: String,
    pub cookie: String,
}

impl Browser {
    /// By the link of `waxseal admin-url`.
    pub fn enter(house: &House) -> Self {
        let url = house.cli(&["admin-url"]).ok();
        let page = ask("GET", url.trim(), &[], "").unwrap();
        assert_eq!((page.status, page.location.as_deref()), (303, Some("/")), "{page:?}");
        let cookie = page.field("set-cookie").unwrap();
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
        let again = ask("GET", url.trim(), &[], "").unwrap();
        assert_eq!(again.status, 403, "a link is good once");
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Self { base: format!("http://{}", house.admin), cookie }
    }

    pub fn get(&self, path: &str) -> Page {
        ask("GET", &format!("{}{path}", self.base), &[("Cookie", &self.cookie)], "").unwrap()
    }

    pub fn csrf(&self) -> String {
        let page = self.get("/").body;
        value_of(&page, "csrf").unwrap()
    }

    pub fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let csrf = self.csrf();
        let body = encoded(&[fields, &[("csrf", &csrf)]].concat());
        ask("POST", &format!("{}{path}", self.base), &[("Cookie", &self.cookie)], &body).unwrap()
    }

    /// Where a form goes on to, and what the page there says first.
    #[track_caller]
    pub fn post_and_go(&self, path: &str, fields: &[(&str, &str)]) -> String {
        let page = self.post(path, fields);
        assert_eq!(page.status, 303, "{page:?}");
        self.get(&page.location.unwrap()).body
    }
}

/// The value of a hidden field.
pub fn value_of(page: &str, name: &str) -> Option<String> {
    let (_, rest) = page.split_once(&format!("name=\"{name}\" value=\""))?;
    Some(rest.split('"').next()?.to_owned())
}

pub fn encoded(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}
