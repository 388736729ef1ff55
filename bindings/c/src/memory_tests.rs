use super::place::PORTLEASE_ADDRESS_SIZE;
use super::*;

use portlease::ErrorKind;

/// As it is now: one field more than at first.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq)]
struct Grown {
    struct_size: usize,
    old: u64,
    new: u64,
}

/// As a program has it that was built before the field came.
#[repr(C)]
struct Old {
    struct_size: usize,
    old: u64,
}

/// As a program has it that was built against a later version.
#[repr(C)]
struct Later {
    struct_size: usize,
    old: u64,
    new: u64,
    later: u64,
}

// SAFETY: it is `repr(C)`, and `struct_size` is the first field.
unsafe impl Growing for Grown {
    const FIRST_SIZE: usize = std::mem::offset_of!(Grown, new);
    const NAME: &'static str = "grown";
}

// SAFETY: numbers.
unsafe impl Options for Grown {}

fn caller() -> Caller<'static> {
    // SAFETY: these tests give it pointers to variables that live as long as what they use of it.
    unsafe { Caller::new() }
}

fn message(outcome: Result<impl Sized>) -> String {
    let error = outcome.err().expect("an error");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    error.to_string()
}

#[test]
fn options_of_an_older_program_are_read_with_zero_for_what_it_does_not_have() {
    let options = Old { struct_size: size_of::<Old>(), old: 7 };
    let read = caller().read::<Grown>("options", (&raw const options).cast()).unwrap();
    assert_eq!(read, Grown { struct_size: size_of::<Old>(), old: 7, new: 0 });
}

#[test]
fn options_of_a_newer_program_are_read_unless_it_sets_what_is_not_known_here() {
    let mut options = Later { struct_size: size_of::<Later>(), old: 7, new: 8, later: 0 };
    let read_them = |options: &Later| caller().read::<Grown>("options", (&raw const *options).cast());
    assert_eq!(read_them(&options).unwrap().new, 8);
    options.later = 1;
    let message = message(read_them(&options));
    assert!(message.starts_with("options: byte ") && message.contains("does not know"), "{message}");
}

#[test]
fn a_size_that_no_version_ever_had_is_invalid_and_the_message_says_what_to_write() {
    for size in [0, size_of::<usize>(), Grown::FIRST_SIZE - 1, Grown::FIRST_SIZE + 1, MAX_STRUCT_SIZE + 1, usize::MAX] {
        let mut options = Grown { struct_size: size, old: 0, new: 0 };
        let expected = format!("options: struct_size is {size}; set it to sizeof(grown), here {}", size_of::<Grown>());
        assert_eq!(message(caller().read::<Grown>("options", &raw const options)), expected);
        assert_eq!(message(caller().out::<Grown>("options", &raw mut options)), expected);
    }
}

fn seven_and_eight(to: To<'_, Grown>) {
    fill!(to, { old: 7, new: 8 });
}

#[test]
fn an_older_program_gets_what_it_has_room_for_and_nothing_behind_it_is_touched() {
    let mut both = [Old { struct_size: size_of::<Old>(), old: 1 }, Old { struct_size: 99, old: 99 }];
    caller().out::<Grown>("out", both.as_mut_ptr().cast()).unwrap().put(seven_and_eight);
    assert_eq!((both[0].struct_size, both[0].old), (size_of::<Old>(), 7));
    assert_eq!((both[1].struct_size, both[1].old), (99, 99));
}

#[test]
fn a_newer_program_gets_zero_for_what_is_not_known_here() {
    let mut out = Later { struct_size: size_of::<Later>(), old: 1, new: 1, later: 1 };
    caller().out::<Grown>("out", (&raw mut out).cast()).unwrap().put(seven_and_eight);
    assert_eq!((out.struct_size, out.old, out.new, out.later), (size_of::<Later>(), 7, 8, 0));
}

#[test]
fn items_of_an_array_have_the_size_of_the_first_and_no_more_are_written_than_fit() {
    let mut array: [Later; 3] = std::array::from_fn(|_| Later { struct_size: 0, old: 1, new: 1, later: 1 });
    array[0].struct_size = size_of::<Later>();
    let out = caller().out_array::<Grown>("array", array.as_mut_ptr().cast(), 2).unwrap();
    out.put([10, 20, 30], |to, value| fill!(to, { old: value, new: value + 1 }));
    let seen = array.map(|item| (item.struct_size, item.old, item.new, item.later));
    let size = size_of::<Later>();
    assert_eq!(seen, [(size, 10, 11, 0), (size, 20, 21, 0), (0, 1, 1, 1)]);
}

#[test]
fn an_array_without_room_may_be_null_and_one_with_room_may_not() {
    assert!(caller().out_array::<Grown>("array", std::ptr::null_mut(), 0).is_ok());
    let refused = caller().out_array::<Grown>("array", std::ptr::null_mut(), 1);
    assert_eq!(message(refused), "array: the pointer is NULL");
}

#[test]
fn a_pointer_between_two_fields_is_invalid() {
    let handle_at = |address: usize| caller().handle::<u64>("lease", std::ptr::without_provenance(address));
    assert_eq!(message(handle_at(0)), "lease: the pointer is NULL");
    assert_eq!(message(handle_at(12)), "lease: the pointer is not aligned");
}

#[test]
fn text_is_read_to_its_end_and_never_beyond_its_limit() {
    let read = |bytes: &'static [u8]| caller().text("name", bytes.as_ptr().cast(), 3);
    assert_eq!(read(b"abc\0").unwrap(), Some("abc"));
    assert_eq!(read(b"\0").unwrap(), None);
    assert_eq!(caller().text("name", std::ptr::null(), 3).unwrap(), None);
    assert_eq!(message(read(b"abcd")), "name: the text is longer than 3 bytes, or has no end");
    assert_eq!(message(read(b"a\xff\0")), "name: the text is not UTF-8");
}

/// What is written into a buffer of `N` bytes, up to its end.
fn written<const N: usize>(write: impl FnOnce(To<'_, [c_char; N]>)) -> String {
    let mut buffer = MaybeUninit::new([1; N]);
    write(To::local(&mut buffer));
    // SAFETY: it was initialised above.
    let text = unsafe { buffer.assume_init() }.into_iter().take_while(|char| *char != 0).map(|char| char as u8);
    String::from_utf8(text.collect()).unwrap()
}

#[test]
fn text_that_does_not_fit_is_cut_off_between_characters_and_always_ends() {
    for (text, expected) in [("", ""), ("12345", "12345"), ("123456", "12345"), ("1234ü", "1234"), ("123ü6", "123ü")]
    {
        assert_eq!(written::<6>(|to| to.set_text(text)), expected);
    }
}

#[test]
fn addresses_are_written_as_the_standard_library_writes_them() {
    for text in ["0.0.0.0", "1.20.100.255", "203.0.113.7", "10.9.99.109", "2001:db8::1", ""] {
        assert_eq!(written::<PORTLEASE_ADDRESS_SIZE>(|to| to.set_address(text.parse().ok())), text);
    }
}

#[test]
fn the_longest_address_fits_with_the_longest_scope() {
    // The longest text of an address by INET6_ADDRSTRLEN; the standard library writes it shorter.
    let widest = "0000:0000:0000:0000:0000:ffff:255.255.255.255%lan-with-15-let";
    assert_eq!(widest.len() + 1, PORTLEASE_ADDRESS_SIZE);
    let longest = "fe80:1111:2222:3333:4444:5555:6666:7777%lan-with-15-let";
    for text in [longest, "fe80::1%eth0", "fe80::1", "192.168.1.1", ""] {
        let scoped = text.parse::<portlease::ScopedAddr>().ok();
        assert_eq!(written::<PORTLEASE_ADDRESS_SIZE>(|to| to.set_scoped_address(scoped)), text);
    }
}
