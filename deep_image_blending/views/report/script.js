document.documentElement.classList.add('js');
for (const slider of document.querySelectorAll('.wipe input'))
  slider.addEventListener('input', () => slider.parentElement.style.setProperty('--at', slider.value + '%'));
for (const button of document.querySelectorAll('.views button'))
  button.addEventListener('click', () => {
    const wipe = button.closest('.wiping').querySelector('.wipe');
    const [, , width, height] = button.dataset.box.split(' ').map(Number);
    for (const picture of wipe.querySelectorAll('svg')) picture.setAttribute('viewBox', button.dataset.box);
    wipe.style.setProperty('--ratio', width / height);
    wipe.classList.toggle('zoom', Math.max(width, height) < 200);
    for (const other of button.parentElement.children) other.setAttribute('aria-pressed', other === button);
  });
