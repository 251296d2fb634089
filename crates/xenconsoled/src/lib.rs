//! xenconsoled.
