// Elements in one line.

/** `h("li", {class: "x", text: "words", data: {id: 1}}, child, "text")`; other properties become attributes. */
export function h(tag, { class: className, text, data = {}, ...attributes } = {}, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  Object.assign(element.dataset, data);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined && value !== null) element.setAttribute(name, value);
  element.append(...children);
  return element;
}
