
/// A struct that begins with struct_size, ready to be used: portlease_config config = PORTLEASE_INIT(portlease_config);
#ifdef __cplusplus
extern "C++" template <class T> inline T portlease_init() {
  T value = T();
  value.struct_size = sizeof(T);
  return value;
}
#define PORTLEASE_INIT(type) portlease_init<type>()
#else
#define PORTLEASE_INIT(type) {.struct_size = sizeof(type)}
#endif

#endif // PORTLEASE_H
