//! Libraries found when they are needed.

use std::ffi::{CStr, CString};
use std::ptr::NonNull;

use libc::c_void;

use super::XenError;

/// A library of Xen's, loaded until the end of the program: functions of it may be called at any time.
#[derive(Debug)]
pub(super) struct Library {
    name: String,
    package: String,
    handle: NonNull<c_void>,
}

impl Library {
    /// Loads the library with this soname, from where the system finds libraries (ld.so(8)).
    ///
    /// # Errors
    /// [`XenError::Library`], which names the Debian package that has it.
    pub(super) fn open(name: &str, package: &str) -> Result<Library, XenError> {
        let error = |why| XenError::Library { library: name.into(), package: package.into(), why };
        let path = CString::new(name).map_err(|nul| error(nul.to_string()))?;
        // SAFETY: a string that ends with a NUL. The initialisers of Xen's libraries do nothing but set up their own data.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        let handle = NonNull::new(handle).ok_or_else(|| error(last_error()))?;
        Ok(Library { name: name.into(), package: package.into(), handle })
    }

    /// The function with this name.
    ///
    /// # Errors
    /// [`XenError::Function`] if the library has none.
    ///
    /// # Safety
    /// `F` is a function pointer (`unsafe extern "C" fn`) as the library's public header declares the function.
    pub(super) unsafe fn function<F: Copy>(&self, name: &CStr) -> Result<F, XenError> {
        const { assert!(size_of::<F>() == size_of::<*mut c_void>()) }
        // SAFETY: the handle is that of a library that stays loaded, and the name ends with a NUL.
        let address = unsafe { libc::dlsym(self.handle.as_ptr(), name.as_ptr()) };
        if address.is_null() {
            let (library, package) = (self.name.clone(), self.package.clone());
            return Err(XenError::Function { function: name.to_string_lossy().into_owned(), library, package });
        }
        // SAFETY: the caller says what it is: a pointer to a function, of which POSIX promises that dlsym(3) can answer
        // with it.
        Ok(unsafe { std::mem::transmute_copy(&address) })
    }
}

/// What the loader says about this thread's last failure.
fn last_error() -> String {
    // SAFETY: a string of the loader's own, of this thread, that lives until its next call; it is copied before.
    let text = unsafe { NonNull::new(libc::dlerror()).map(|text| CStr::from_ptr(text.as_ptr()).to_owned()) };
    text.map_or_else(|| "the loader does not say why".into(), |text| text.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_not_installed_names_itself_and_its_package() {
        let error = Library::open("libxen-nowhere.so.1", "libxen-nowhere1").unwrap_err().to_string();
        assert!(
            error.starts_with("cannot load libxen-nowhere.so.1 (Debian: apt install libxen-nowhere1): "),
            "{error}"
        );
        assert!(error.contains("No such file"), "the loader's reason: {error}");
    }

    #[test]
    fn what_has_been_loaded_has_functions_or_says_which_one_it_has_not() {
        let library = Library::open("libc.so.6", "libc6").unwrap();
        // SAFETY: as stdlib.h declares it.
        let abs: unsafe extern "C" fn(libc::c_int) -> libc::c_int = unsafe { library.function(c"abs") }.unwrap();
        // SAFETY: a number.
        assert_eq!(unsafe { abs(-3) }, 3);
        // SAFETY: it is not called.
        let error = unsafe { library.function::<unsafe extern "C" fn()>(c"xen_nothing") }.unwrap_err().to_string();
        assert_eq!(error, "libc.so.6 has no function xen_nothing (Debian: apt install libc6)");
    }
}
